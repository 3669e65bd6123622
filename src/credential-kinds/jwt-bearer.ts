import { choice, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';

export const jwtBearer = defineCredentialKind({
  kind: 'jwtBearer',
  typeName: 'JWTBearerCredential',
  description:
    'What it takes to mint a JSON Web Token for each request. For a bare signing key, see JWTCredential; for a token made elsewhere, BearerTokenCredential.',
  fields: {
    algorithm: choice({
      description: 'How the token is signed.',
      choices: signingAlgorithm,
      only: ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512'],
      example: 'HS256',
      invalidExample: 'ES256',
    }),
    secret: secret({
      description: 'The key to sign with, in base64 (RFC 4648, section 4): the bytes that are shared for HS, the key file for RS.',
      maxLength: 16_384,
      format: 'base64',
      example: 'c2lnbmluZy1rZXktZm9yLWV4YW1wbGVz',
      invalidExample: 'not base64!',
    }),
    payload: secret({
      description:
        'The claims, a JSON object as text. Sealed, for claims may be confidential. `iat` and `exp` are overwritten when a token is minted.',
      maxLength: 16_384,
      format: 'json',
      example: '{"iss":"gateway","sub":"ada"}',
      invalidExample: 'iss=gateway',
    }),
    expiresIn: text({
      description: 'How long a minted token lasts, as in 1h30m. Not when the credential expires.',
      maxLength: 32,
      format: 'duration',
      example: '1m30s',
      invalidExample: '90',
    }),
    authorizationHeaderPrefix: text({
      description: 'The scheme before the token in the Authorization header, usually Bearer, sometimes JWT.',
      maxLength: 64,
      format: 'httpToken',
      example: 'Bearer',
      invalidExample: 'Bearer:',
    }),
  },
});
