import type { KeyFiles } from '../key-files/index.ts';
import type { Redacted } from '../redacted.ts';
import type { Fact, FactObject } from './facts.ts';

const certificateInfo: FactObject = {
  typeName: 'CertificateInfo',
  description: 'The content of an X.509 certificate (of a chain, the first one), and whether the stored private key belongs to it.',
  members: {
    subject: {
      type: 'String',
      description:
        'The distinguished name of the holder, most specific part last, such as `O=Example, CN=example.com`. Several attributes of one part are joined by ` + `. A value with a separator in it is in quotation marks.',
    },
    issuer: {
      type: 'String',
      description: 'The distinguished name of the signer, in the same form as `subject`. Equal to `subject` when self-signed.',
    },
    commonName: {
      type: 'String',
      description:
        'The common name in the subject, the most specific one if there are several. Null if there is none, which is usual for newer certificates.',
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
        'Whether the stored private key belongs to the certificate. False in between when two updates replace one after the other. Null if there is no private key yet, or if the certificate was stored before its algorithm was refused.',
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
export async function deriveCertificateFacts(
  certificate: string | undefined,
  privateKey: Redacted | undefined,
  before: Readonly<Record<string, unknown>>,
  keyFiles: KeyFiles,
) {
  const own = certificate === undefined ? undefined : await keyFiles.read('certificates', certificate);
  const key = privateKey && (await keyFiles.read('privateKey', privateKey));
  const publicKeyHash = key ? key.publicKeyHash : before.publicKeyHash;
  if (!own) {
    // Earlier versions stored certificates that are refused now. What is known of them stays known.
    const known = before.certificateInfo as object | undefined;
    return { publicKeyHash, certificateInfo: certificate !== undefined && known ? { ...known, keyMatches: null } : null };
  }
  const { publicKeyHash: hashOfOwner, ...info } = own;
  return { publicKeyHash, certificateInfo: { ...info, keyMatches: publicKeyHash === undefined ? null : publicKeyHash === hashOfOwner } };
}
