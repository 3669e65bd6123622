import { instant, secret, text, textList } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Token = defineCredentialKind({
  kind: 'oauth2Token',
  typeName: 'OAuth2TokenCredential',
  description:
    'The tokens that a user’s consent produced (RFC 6749, section 5.1). Also how an OAuth2CodeCredential is read back; until its exchange, no token is set.',
  fields: {
    scopes: textList({
      description: 'What the tokens are good for. Compare with what you want, to know whether to ask for consent again.',
      maxItems: 100,
      maxLength: 512,
      format: 'oauthScope',
      example: ['tickets:read', 'users:read'],
      invalidExample: ['tickets:read users:read'],
    }),
    accessToken: secret({
      description: 'What requests carry.',
      maxLength: 16_384,
      format: 'line',
      example: '2YotnFZFEjr1zCsicMWpAA',
      invalidExample: '',
    }),
    refreshToken: secret({
      description: 'What new access tokens are asked for with. Unset when the server gave none: then the user consents again.',
      maxLength: 16_384,
      format: 'line',
      optional: true,
      example: 'tGzv3JOkF0XG5Qx2TlKWIA',
      invalidExample: '',
    }),
    tokenType: text({
      description: 'The scheme before the token in the Authorization header. Null means Bearer.',
      maxLength: 64,
      format: 'httpToken',
      optional: true,
      example: 'Bearer',
      invalidExample: 'Bearer token',
    }),
    accessTokenExpiresAt: instant({
      description:
        'When the access token stops working. Null when unknown: it is used until a 401. Not `expiresAt`, when the whole credential is deleted.',
      optional: true,
      example: '2030-01-01T00:00:00.000Z',
      invalidExample: 'tomorrow',
    }),
  },
});
