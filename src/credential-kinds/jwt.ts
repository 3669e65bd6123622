import { choice, secret, text } from '../fields/field.ts';
import { parsePublicKey } from '../fields/formats.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';

/** What OpenSSL calls the keys of a family of algorithms; HS takes any text. */
const keyTypes: Readonly<Record<string, string>> = { RS: 'rsa', ES: 'ec' };

export const jwt = defineCredentialKind({
  kind: 'jwt',
  typeName: 'JWTCredential',
  description: 'A key to sign or verify JSON Web Tokens with. The claims are given by whoever uses it; JWTBearerCredential keeps them too.',
  fields: {
    issuer: text({
      description: 'The `iss` claim to set or to expect. Null when there is none.',
      maxLength: 1024,
      optional: true,
      example: 'https://issuer.example.com',
      invalidExample: '',
    }),
    algorithm: choice({ description: 'How tokens are signed.', choices: signingAlgorithm, example: 'HS256', invalidExample: 'none' }),
    secret: secret({
      description: 'The shared secret for HS, as it is, not in base64; a key in PEM for RS and ES: private to sign, public to verify.',
      maxLength: 4096,
      example: 'a shared secret of 32 bytes, or so',
      invalidExample: '',
    }),
  },
  check({ settings, before, secrets, isSet }) {
    const family = settings.algorithm?.slice(0, 2) ?? '';
    const keyType = keyTypes[family];
    // Among others, a public key must not become the shared secret of HS: everybody could sign.
    if (before && before.algorithm?.slice(0, 2) !== family && isSet.secret && secrets.secret === undefined)
      return [{ path: ['secret'], message: 'must be given when algorithm changes between HS, RS and ES: the stored one does not fit' }];
    if (secrets.secret === undefined) return [];
    const key = parsePublicKey(secrets.secret.expose());
    if (keyType && key?.asymmetricKeyType !== keyType)
      return [{ path: ['secret'], message: `must be an ${keyType.toUpperCase()} key in PEM with ${family}` }];
    if (!keyType && key) return [{ path: ['secret'], message: `must be a shared secret with ${family}, not a key in PEM` }];
    return [];
  },
});
