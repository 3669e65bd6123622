import type { Choices } from '../fields/field.ts';

/** The JSON Web Algorithms (RFC 7518) of the kinds that hold a signing key. */
export const signingAlgorithm = {
  enumName: 'SigningAlgorithm',
  description:
    'The signature algorithm of a JSON Web Token (RFC 7518, section 3.1, and RFC 8037 for EdDSA). HS uses a shared secret; the others use a private key.',
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
    PS256: 'RSASSA-PSS with SHA-256 and an RSA key.',
    PS384: 'RSASSA-PSS with SHA-384 and an RSA key.',
    PS512: 'RSASSA-PSS with SHA-512 and an RSA key.',
    EdDSA: 'EdDSA with an Ed25519 or Ed448 key.',
  },
} as const satisfies Choices;
