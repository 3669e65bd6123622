import { createHash, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { parseCertificates, parsePrivateKey } from '../fields/formats.ts';
import type { Redacted } from '../redacted.ts';
import type { Fact, FactObject } from './facts.ts';

const certificateInfo: FactObject = {
  typeName: 'CertificateInfo',
  description: 'The content of an X.509 certificate (of a chain, the first one), and whether the stored private key belongs to it.',
  members: {
    subject: {
      type: 'String',
      description: 'The distinguished name of the holder, most specific part last, such as `O=Example, CN=example.com`.',
    },
    issuer: {
      type: 'String',
      description: 'The distinguished name of the signer, in the same form as `subject`. Equal to `subject` when self-signed.',
    },
    commonName: {
      type: 'String',
      description: 'The common name in the subject. Null if there is none, which is usual for newer certificates.',
    },
    serialNumber: { type: 'String', description: 'In hexadecimal. Unique only among the certificates of its issuer.' },
    fingerprint: {
      type: 'String',
      description: 'The SHA-256 of the certificate, such as `AB:CD:…`. Public, unlike `Secret.fingerprint`.',
    },
    notBefore: { type: 'DateTime', description: 'The certificate is valid from this time on.' },
    notAfter: {
      type: 'DateTime',
      description:
        'The certificate is valid until this time. It does not change the credential’s `expiresAt`, at which the credential is deleted.',
    },
    keyMatches: {
      type: 'Boolean',
      description:
        'Whether the stored private key belongs to the certificate. False in between when two updates replace one after the other.',
    },
  },
};

/** The facts of a kind that holds a certificate and its private key. */
export const certificateFacts = {
  certificateInfo: { type: certificateInfo, description: 'The content of the certificate, and whether the private key belongs to it.' },
} as const satisfies Record<string, Fact>;

/** Used to compute `keyMatches` when only the certificate is replaced. */
export const certificateInternalFacts = {
  publicKeyHash:
    'The SHA-256 of the public key of the stored private key. If the two match, the certificate contains that public key anyway.',
};

/** Computes the facts above from the certificate as it will be stored and, if it is replaced, from the private key. */
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

/** Returns undefined when the certificate's key has a type that this version of Node does not support. */
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
