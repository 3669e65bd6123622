import { choice, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { keyTypeOf, otherKey, signingAlgorithm } from './signing-algorithm.ts';

/** What every key in PEM begins with, whether it is one that is accepted or not. */
const armor = /-----BEGIN [A-Z0-9 ]+-----/;

export const jwt = defineCredentialKind({
  kind: 'jwt',
  typeName: 'JWTCredential',
  description: 'A key to sign or verify JSON Web Tokens. It does not contain claims; JWTBearerCredential does.',
  fields: {
    issuer: text({
      description: 'The `iss` claim to set or to expect. Null if there is none.',
      maxLength: 1024,
      optional: true,
      example: 'https://issuer.example.com',
      invalidExample: '',
    }),
    algorithm: choice({ description: 'How tokens are signed.', choices: signingAlgorithm, example: 'HS256', invalidExample: 'none' }),
    secret: secret({
      description:
        'For HS, the shared secret as plain text, not in base64. For the other algorithms, a key in PEM: the private key to sign, the public key to verify.',
      maxLength: 4096,
      example: 'a shared secret of 32 bytes, or so',
      invalidExample: '',
    }),
  },
  readsKeyFiles: true,
  async check({ settings, before, secrets, isSet }, keyFiles) {
    const { algorithm } = settings;
    if (algorithm === undefined) return [];
    const keyType = keyTypeOf(algorithm);
    // For example, a public key must not become the shared secret of HS: then everybody could sign.
    if (before?.algorithm && keyTypeOf(before.algorithm) !== keyType && isSet.secret && secrets.secret === undefined)
      return [{ path: ['secret'], message: otherKey(before.algorithm, algorithm) }];
    if (secrets.secret === undefined) return [];
    const family = algorithm.slice(0, 2);
    if (keyType && !keyType.types.includes((await keyFiles.read('anyKey', secrets.secret))?.type ?? ''))
      return [{ path: ['secret'], message: `must be one ${keyType.name} in PEM with ${keyType.types.length > 1 ? algorithm : family}` }];
    if (!keyType && armor.test(secrets.secret.expose()))
      return [{ path: ['secret'], message: `must be a shared secret with ${family}, not a key in PEM` }];
    return [];
  },
});
