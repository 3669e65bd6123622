import { choice, secret, text } from '../fields/field.ts';
import { parsePublicKey } from '../fields/formats.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';

/** OpenSSL's name of the key type of each family of algorithms. HS accepts any text. */
const keyTypes: Readonly<Record<string, string>> = { RS: 'rsa', ES: 'ec' };

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
        'For HS, the shared secret as plain text, not in base64. For RS and ES, a key in PEM: the private key to sign, the public key to verify.',
      maxLength: 4096,
      example: 'a shared secret of 32 bytes, or so',
      invalidExample: '',
    }),
  },
  check({ settings, before, secrets, isSet }) {
    const family = settings.algorithm?.slice(0, 2) ?? '';
    const keyType = keyTypes[family];
    // For example, a public key must not become the shared secret of HS: then everybody could sign.
    if (before && before.algorithm?.slice(0, 2) !== family && isSet.secret && secrets.secret === undefined)
      return [
        {
          path: ['secret'],
          message: 'must be set when algorithm changes between HS, RS and ES: the stored value belongs to the old algorithm',
        },
      ];
    if (secrets.secret === undefined) return [];
    const key = parsePublicKey(secrets.secret.expose());
    if (keyType && key?.asymmetricKeyType !== keyType)
      return [{ path: ['secret'], message: `must be an ${keyType.toUpperCase()} key in PEM with ${family}` }];
    if (!keyType && key) return [{ path: ['secret'], message: `must be a shared secret with ${family}, not a key in PEM` }];
    return [];
  },
});
