import { choice, secret, text } from '../fields/field.ts';
import { Redacted } from '../redacted.ts';
import { defineCredentialKind } from './define.ts';
import { keyTypeOf, otherKey, signingAlgorithm } from './signing-algorithm.ts';

export const jwtBearer = defineCredentialKind({
  kind: 'jwtBearer',
  typeName: 'JWTBearerCredential',
  description:
    'A signing key and claims, to create a JSON Web Token for each request. For a signing key alone, use JWTCredential; for a token created elsewhere, BearerTokenCredential.',
  fields: {
    algorithm: choice({
      description: 'How the token is signed.',
      choices: signingAlgorithm,
      example: 'HS256',
      invalidExample: 'none',
    }),
    secret: secret({
      description:
        'The signing key, in base64 (RFC 4648, section 4): the bytes of the shared secret for HS, for the other algorithms the file of one private key in PEM or DER, without a passphrase.',
      maxLength: 16_384,
      format: 'base64',
      example: 'c2lnbmluZy1rZXktZm9yLWV4YW1wbGVz',
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
  async check({ settings, before, secrets, isSet }, keyFiles) {
    const { algorithm } = settings;
    if (algorithm === undefined) return [];
    const keyType = keyTypeOf(algorithm);
    if (before?.algorithm && keyTypeOf(before.algorithm) !== keyType && isSet.secret && secrets.secret === undefined)
      return [{ path: ['secret'], message: otherKey(before.algorithm, algorithm) }];
    if (!keyType || secrets.secret === undefined) return [];
    for (const text of possibleKeyFiles(secrets.secret)) {
      if (keyType.types.includes((await keyFiles.read('privateKey', text))?.type ?? '')) return [];
    }
    return [{ path: ['secret'], message: `must be one ${keyType.name} in PEM or DER with ${algorithm}, private and without a passphrase` }];
  },
});

/** A file in PEM is read as it is. A file in DER can be PKCS#8, PKCS#1 or SEC 1. */
function possibleKeyFiles(secret: Redacted): Redacted[] {
  const base64 = secret.expose();
  const text = Buffer.from(base64, 'base64').toString('latin1');
  if (text.includes('-----BEGIN ')) return [new Redacted(text)];
  return ['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY'].map(
    (label) => new Redacted(`-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----`),
  );
}
