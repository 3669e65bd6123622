import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { RSA_MIN_BITS } from './algorithms.ts';
import { Refused } from './der.ts';
import { ecdsaBlob, ed25519Blob, isCurve, rsaBlob, writeOpenSsh } from './openssh.ts';
import type { Certificate, PrivateKey, PublicKey } from './read.ts';

// The only file in which OpenSSL decodes keys and certificates. It takes nothing but what `read.ts` returns.

/** Returns the public key of a private key. @throws Refused when OpenSSL does not take it */
export function publicKeyOf({ type, encoding, bytes }: PrivateKey): PublicKey {
  const key = opened(() => createPublicKey(createPrivateKey({ key: bytes, format: 'der', type: encoding })));
  return { type, bytes: key.export({ type: 'spki', format: 'der' }) };
}

/** Checks a public key, whose point must be on its curve. @throws Refused when OpenSSL does not take it */
export function checkPublicKey({ bytes }: PublicKey): void {
  opened(() => createPublicKey({ key: bytes, format: 'der', type: 'spki' }));
}

/** Returns the public key in PEM. */
export function pemOf({ bytes }: PublicKey): string {
  return createPublicKey({ key: bytes, format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' }) as string;
}

/** The SHA-256 of a public key, in hexadecimal. */
export function hashOf({ bytes }: PublicKey): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Returns the public key as SSH has it (RFC 4253, section 6.6). @throws Refused for a type that SSH has not */
export function sshBlobOf({ bytes }: PublicKey): Buffer {
  const jwk: JsonWebKey = createPublicKey({ key: bytes, format: 'der', type: 'spki' }).export({ format: 'jwk' });
  if (jwk.kty === 'RSA') return rsaBlob(fromBase64Url(jwk.e), fromBase64Url(jwk.n));
  if (jwk.crv === 'Ed25519') return ed25519Blob(fromBase64Url(jwk.x));
  if (!isCurve(jwk.crv)) throw new Refused();
  return ecdsaBlob(jwk.crv, Buffer.concat([Buffer.from([4]), fromBase64Url(jwk.x), fromBase64Url(jwk.y)]));
}

/** Decodes a certificate. @throws Refused when OpenSSL does not take it */
export function openCertificate({ bytes, publicKey }: Certificate): X509Certificate {
  checkPublicKey(publicKey);
  return opened(() => new X509Certificate(bytes));
}

/** The JSON Web Algorithms that sign with a private key (RFC 7518, section 3.1, and RFC 8037). */
export type SignatureAlgorithm = `${'RS' | 'PS' | 'ES'}${256 | 384 | 512}` | 'EdDSA';

/** The curve of each algorithm of ECDSA (RFC 7518, section 3.4). */
const curveOf: Partial<Record<SignatureAlgorithm, PrivateKey['curve']>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** Signs as JSON Web Signatures do. @throws Refused when the key is not one for the algorithm, or OpenSSL does not take it */
export function signature({ type, curve, encoding, bytes }: PrivateKey, algorithm: SignatureAlgorithm, data: Buffer): Buffer {
  const family = algorithm.slice(0, 2);
  const fits = { RS: type === 'rsa', PS: type === 'rsa', ES: type === 'ec' && curve === curveOf[algorithm] }[family];
  if (!(fits ?? type.startsWith('Ed'))) throw new Refused();
  const hash = family === 'Ed' ? null : `sha${algorithm.slice(2)}`;
  const { RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST } = constants;
  const padding = family === 'PS' ? { padding: RSA_PKCS1_PSS_PADDING, saltLength: RSA_PSS_SALTLEN_DIGEST } : {};
  return opened(() => {
    const key = createPrivateKey({ key: bytes, format: 'der', type: encoding });
    return sign(hash, data, { key, dsaEncoding: 'ieee-p1363', ...padding });
  });
}

/** Generates an RSA private key of the smallest allowed size, in PKCS#8. */
export function generateRsaKey(): string {
  return generateKeyPairSync('rsa', { modulusLength: RSA_MIN_BITS }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Generates an ed25519 private key in OpenSSH's own format. */
export function generateSshKey(): string {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return writeOpenSsh(fromBase64Url(jwk.x), fromBase64Url(jwk.d), randomBytes(4));
}

/** Errors of OpenSSL are replaced: they could repeat the input. */
function opened<T>(open: () => T): T {
  try {
    return open();
  } catch {
    throw new Refused();
  }
}

function fromBase64Url(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url');
}
