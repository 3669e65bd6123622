import { Refused } from './der.ts';
import { readDistinguishedName, showDistinguishedName } from './distinguished-name.ts';
import { isOpenSsh, readOpenSsh, sshText } from './openssh.ts';
import {
  checkPublicKey,
  generateRsaKey,
  generateSshKey,
  hashOf,
  openCertificate,
  pemOf,
  publicKeyOf,
  type SignatureAlgorithm,
  signature,
  sshBlobOf,
} from './openssl.ts';
import { type PrivateKey, type PublicKey, readAnyKey, readCertificates, readPrivateKey } from './read.ts';

export type { SignatureAlgorithm } from './openssl.ts';

/** What is told of a private key: only its public half. */
export interface PrivateKeyFacts {
  readonly type: PrivateKey['type'];
  /** The curve, if the type is `ec`. */
  readonly curve?: PrivateKey['curve'];
  /** The public key in PEM. */
  readonly publicKey: string;
  /** The SHA-256 of the public key, in hexadecimal. */
  readonly publicKeyHash: string;
}

/** What is told of a certificate. */
export interface CertificateFacts {
  readonly subject: string | null;
  readonly issuer: string | null;
  readonly commonName: string | null;
  readonly serialNumber: string;
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The SHA-256 of its public key, in hexadecimal. */
  readonly publicKeyHash: string;
}

/** What reading a text returns, by what the text must be. */
export interface Readings {
  /** One unencrypted private key in PEM. */
  readonly privateKey: PrivateKeyFacts;
  /** One public key, unencrypted private key or certificate in PEM. */
  readonly anyKey: Pick<PublicKey, 'type' | 'curve'>;
  /** One to ten certificates in PEM. Those of the first one are told. */
  readonly certificates: CertificateFacts;
  /** One private key for SSH, in PEM or in OpenSSH's own format. Ed25519 only in the latter. */
  readonly sshKey: { readonly publicKey: string };
}
export type ReadAs = keyof Readings;

/** The keys that can be generated: RSA in PKCS#8, or ed25519 in OpenSSH's own format. */
export type Generated = 'rsa' | 'ssh';

/** A piece of work for a worker. */
export type Task =
  | { readonly readAs: ReadAs; readonly plain: string }
  | { readonly generate: Generated }
  | { readonly sign: string; readonly by: SignatureAlgorithm; readonly plain: string };

/**
 * The result of a task: of reading, undefined when the text is not what it must be; of generating, the private key; of signing, the signature in
 * base64url, or undefined when the text is no private key for the algorithm.
 */
export type TaskResult = Readings[ReadAs] | string | undefined;

const readers: { readonly [K in ReadAs]: (plain: string) => Readings[K] } = {
  privateKey(plain) {
    const key = readPrivateKey(plain);
    const publicKey = publicKeyOf(key);
    return { type: key.type, curve: key.curve, publicKey: pemOf(publicKey), publicKeyHash: hashOf(publicKey) };
  },
  anyKey(plain) {
    const key = readAnyKey(plain);
    if ('encoding' in key) publicKeyOf(key);
    else checkPublicKey(key);
    return { type: key.type, curve: key.curve };
  },
  certificates(plain) {
    // All are read before OpenSSL gets the first one.
    const [first] = readCertificates(plain).map((certificate) => [certificate, openCertificate(certificate)] as const);
    const [{ publicKey, notBefore, notAfter }, opened] = first!;
    const subject = opened.subject ? readDistinguishedName(opened.subject) : null;
    return {
      subject: subject && showDistinguishedName(subject),
      issuer: opened.issuer ? showDistinguishedName(readDistinguishedName(opened.issuer)) : null,
      // Of several, the most specific one.
      commonName: subject?.flat().findLast(({ type }) => type === 'CN')?.value ?? null,
      serialNumber: opened.serialNumber,
      fingerprint: opened.fingerprint256,
      notBefore,
      notAfter,
      publicKeyHash: hashOf(publicKey),
    };
  },
  sshKey(plain) {
    if (isOpenSsh(plain)) return { publicKey: sshText(readOpenSsh(plain)) };
    const key = readPrivateKey(plain);
    // OpenSSH reads no Ed25519 key in PKCS#8.
    if (key.type === 'Ed25519') throw new Refused();
    return { publicKey: sshText(sshBlobOf(publicKeyOf(key))) };
  },
};

/** Carries out a task. Its errors contain nothing of the text. */
export function runTask(task: Task): TaskResult {
  if ('generate' in task) return task.generate === 'rsa' ? generateRsaKey() : generateSshKey();
  try {
    if ('sign' in task) return signature(readPrivateKey(task.plain), task.by, Buffer.from(task.sign)).toString('base64url');
    return readers[task.readAs](task.plain);
  } catch (error) {
    if (error instanceof Refused || error instanceof RangeError) return undefined;
    // Whatever else was thrown is a defect, and its message may repeat the text.
    throw new Error('A key or certificate could not be read.');
  }
}
