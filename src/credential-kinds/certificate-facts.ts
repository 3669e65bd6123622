import { createHash, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { parseCertificates, parsePrivateKey } from '../fields/formats.ts';
import type { Redacted } from '../redacted.ts';
import type { Fact, FactObject } from './facts.ts';

const certificateInfo: FactObject = {
  typeName: 'CertificateInfo',
  description:
    'What an X.509 certificate says of itself, and whether the private key stored with it is its own. Of a chain, the first certificate.',
  members: {
    subject: {
      type: 'String',
      description: 'Whom it certifies: the distinguished name, most specific part last, as in `O=Example, CN=example.com`.',
    },
    issuer: { type: 'String', description: 'Who signed it, in the form of `subject`. The same as `subject` when it is self-signed.' },
    commonName: {
      type: 'String',
      description: 'The common name within the subject. Null when it has none, which is usual for newer certificates.',
    },
    serialNumber: { type: 'String', description: 'The number its issuer gave it, in hexadecimal. Unique for that issuer only.' },
    fingerprint: {
      type: 'String',
      description: 'SHA-256 over the certificate, as in `AB:CD:…`. It is no secret, unlike `Secret.fingerprint`.',
    },
    notBefore: { type: 'DateTime', description: 'From when it is valid.' },
    notAfter: {
      type: 'DateTime',
      description: 'Until when it is valid. The credential’s own `expiresAt` is when it is deleted, and does not follow this.',
    },
    keyMatches: {
      type: 'Boolean',
      description: 'Whether the stored private key fits the certificate. False between two updates that replace them one by one.',
    },
  },
};

/** The facts of a kind that holds a certificate and its private key. */
export const certificateFacts = {
  certificateInfo: { type: certificateInfo, description: 'What the certificate says, and whether the key fits it.' },
} as const satisfies Record<string, Fact>;

/** Lets `keyMatches` be computed when only the certificate is replaced. */
export const certificateInternalFacts = {
  publicKeyHash: 'SHA-256 over the public half of the stored private key, which the certificate shows to everybody when the two fit.',
};

/** Computes the facts above, from the certificate as it will be stored and from the private key if it is replaced. */
export function deriveCertificateFacts(
  certificate: string | undefined,
  privateKey: Redacted | undefined,
  before: Readonly<Record<string, unknown>>,
) {
  const own = parseCertificates(certificate ?? '')?.[0];
  const key = privateKey && parsePrivateKey(privateKey.expose());
  const publicKeyHash = key ? hashOf(createPublicKey(key)) : before.publicKeyHash;
  if (!own) return { publicKeyHash, certificateInfo: null };
  return {
    publicKeyHash,
    certificateInfo: {
      subject: own.subject?.replaceAll('\n', ', ') ?? null,
      issuer: own.issuer?.replaceAll('\n', ', ') ?? null,
      commonName: /^CN=(.+)$/m.exec(own.subject ?? '')?.[1] ?? null,
      serialNumber: own.serialNumber,
      fingerprint: own.fingerprint256,
      notBefore: new Date(own.validFrom),
      notAfter: new Date(own.validTo),
      keyMatches: publicKeyHash !== undefined && publicKeyHash === hashOfOwner(own),
    },
  };
}

/** Undefined when the certificate is for a kind of key that this machine does not know. */
function hashOfOwner(certificate: X509Certificate): string | undefined {
  try {
    return hashOf(certificate.publicKey);
  } catch {
    return undefined;
  }
}

function hashOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
