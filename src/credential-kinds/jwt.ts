import { choice, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';

/** The key type of each family of algorithms. HS accepts any text. */
const keyTypes: Readonly<Record<string, string>> = { RS: 'rsa', ES: 'ec' };
const keyNames: Readonly<Record<string, string>> = { rsa: 'RSA key of 2048 to 8192 bits', ec: 'EC key on P-256, P-384 or P-521' };
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
        'For HS, the shared secret as plain text, not in base64. For RS and ES, a key in PEM: the private key to sign, the public key to verify.',
      maxLength: 4096,
      example: 'a shared secret of 32 bytes, or so',
      invalidExample: '',
    }),
  },
  readsKeyFiles: true,
  async check({ settings, before, secrets, isSet }, keyFiles) {
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
    if (keyType && (await keyFiles.read('anyKey', secrets.secret))?.type !== keyType)
      return [{ path: ['secret'], message: `must be one ${keyNames[keyType]} in PEM with ${family}` }];
    if (!keyType && armor.test(secrets.secret.expose()))
      return [{ path: ['secret'], message: `must be a shared secret with ${family}, not a key in PEM` }];
    return [];
  },
});
