import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const bearerToken = defineCredentialKind({
  kind: 'bearerToken',
  typeName: 'BearerTokenCredential',
  description:
    'A token for `Authorization: Bearer` (RFC 6750) that was created by hand and is not refreshed. For one with a refresh token, use OAuth2TokenCredential.',
  apply: {
    alone: { put: 'HEADER', name: 'Authorization', value: 'Bearer {token}' },
    schemes: { API_KEY: '{token}', SECRET: '{token}', OAUTH2: true },
  },
  fields: {
    token: secret({
      description: 'The token, without the word Bearer.',
      maxLength: 16_384,
      format: 'token',
      example: 'mF_9.B5f-4.1JqM',
      invalidExample: 'mF_9.B5f-4.1JqM\n',
    }),
  },
});
