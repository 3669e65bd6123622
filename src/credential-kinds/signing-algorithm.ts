import type { Choices } from '../fields/field.ts';

/** The JSON Web Algorithms (RFC 7518) of the kinds that hold a signing key. */
export const signingAlgorithm = {
  enumName: 'SigningAlgorithm',
  description: 'The signature algorithm of a JSON Web Token (RFC 7518, section 3.1). HS uses a shared secret; RS and ES use a private key.',
  values: {
    HS256: 'HMAC with SHA-256 and a shared secret.',
    HS384: 'HMAC with SHA-384 and a shared secret.',
    HS512: 'HMAC with SHA-512 and a shared secret.',
    RS256: 'RSASSA-PKCS1-v1_5 with SHA-256 and an RSA key.',
    RS384: 'RSASSA-PKCS1-v1_5 with SHA-384 and an RSA key.',
    RS512: 'RSASSA-PKCS1-v1_5 with SHA-512 and an RSA key.',
    ES256: 'ECDSA with SHA-256 and a P-256 key.',
    ES384: 'ECDSA with SHA-384 and a P-384 key.',
    ES512: 'ECDSA with SHA-512 and a P-521 key.',
  },
} as const satisfies Choices;
