import { armored, hasArmorLines } from '../fields/armor.ts';
import { choice, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';
import { type KeyForm, signingKeyIssues } from './signing-key.ts';

/** Returns the texts as which a key in base64 may be read. */
export const keyTexts = (base64: string) => form.asKeyFiles(base64);

/** A file in PEM is read as it is. A file in DER can be PKCS#8, PKCS#1 or SEC 1. */
const form: KeyForm = {
  decode: (base64) => Buffer.from(base64, 'base64'),
  asKeyFiles(base64) {
    const text = Buffer.from(base64, 'base64').toString('latin1');
    if (!text.includes('-----BEGIN ')) return ['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY'].map((label) => armored(label, base64));
    // The bytes are stored as they are, so programs must be able to read them as they are.
    return hasArmorLines(text) ? [text] : [];
  },
  readAs: 'privateKey',
  keyName: 'in PEM or DER, without a passphrase,',
};

export const jwtBearer = defineCredentialKind({
  kind: 'jwtBearer',
  typeName: 'JWTBearerCredential',
  description:
    'A signing key and claims, to create a JSON Web Token for each request. For a signing key alone, use JWTCredential; for a token created elsewhere, BearerTokenCredential.',
  apply: {
    alone: {
      put: 'JWT',
      parts: {
        algorithm: '{algorithm}',
        key: '{secret}',
        claims: '{payload}',
        lifetime: '{expiresIn}',
        prefix: '{authorizationHeaderPrefix}',
      },
    },
    schemes: { JWT_BEARER: true },
  },
  fields: {
    algorithm: choice({
      description: 'How the token is signed.',
      choices: signingAlgorithm,
      example: 'HS256',
      invalidExample: 'none',
    }),
    secret: secret({
      description:
        'The signing key, in base64 (RFC 4648, section 4): the bytes of the shared secret for HS, at least as many as the hash has (32, 48 or 64); for the other algorithms the file of one private key in PEM or DER, without a passphrase.',
      maxLength: 16_384,
      format: 'base64',
      example: 'YSBzaWduaW5nIGtleSBvZiAzNiBieXRlcyBmb3IgZGVtb3Mh',
      invalidExample: 'not base64!',
    }),
    payload: secret({
      description:
        'The claims, as the text of a JSON object. Sealed because claims can be confidential. Each created token gets its own `iat` and `exp`.',
      maxLength: 16_384,
      format: 'json',
      example: '{"iss":"gateway","sub":"ada"}',
      invalidExample: 'iss=gateway',
    }),
    expiresIn: text({
      description: 'The lifetime of each created token, such as 1h30m. It does not change the credential’s own `expiresAt`.',
      maxLength: 32,
      format: 'duration',
      example: '1m30s',
      invalidExample: '90',
    }),
    authorizationHeaderPrefix: text({
      description: 'The scheme before the token in the Authorization header: usually Bearer, sometimes JWT.',
      maxLength: 64,
      format: 'httpToken',
      example: 'Bearer',
      invalidExample: 'Bearer:',
    }),
  },
  readsKeyFiles: true,
  check: (write, keyFiles) => signingKeyIssues(write, form, keyFiles),
});
