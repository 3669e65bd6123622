import { instant, secret, text, textList } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Token = defineCredentialKind({
  kind: 'oauth2Token',
  typeName: 'OAuth2TokenCredential',
  description: 'The tokens that a user consented to (RFC 6749, section 5.1).',
  apply: { alone: { put: 'TOKEN' }, schemes: { OAUTH2: true } },
  fields: {
    scopes: textList({
      description: 'The scopes that were granted. If you need others, ask the user for consent again.',
      maxItems: 100,
      maxLength: 512,
      format: 'oauthScope',
      example: ['tickets:read', 'users:read'],
      invalidExample: ['tickets:read users:read'],
    }),
    accessToken: secret({
      description: 'The token that is sent with requests.',
      maxLength: 16_384,
      format: 'token',
      example: '2YotnFZFEjr1zCsicMWpAA',
      invalidExample: '',
    }),
    refreshToken: secret({
      description: 'The token that is used to get new access tokens. Not set if the server issued none; then the user must consent again.',
      maxLength: 16_384,
      format: 'oauthText',
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
        'When the access token expires. Null if unknown: then it is used until the service returns 401. Not `expiresAt`, at which the whole credential is deleted.',
      optional: true,
      example: '2030-01-01T00:00:00.000Z',
      invalidExample: 'tomorrow',
    }),
  },
});
