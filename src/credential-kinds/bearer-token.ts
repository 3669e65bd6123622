import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const bearerToken = defineCredentialKind({
  kind: 'bearerToken',
  typeName: 'BearerTokenCredential',
  description:
    'A token for `Authorization: Bearer` (RFC 6750) that somebody made by hand and nobody refreshes. With a refresh token it is an OAuth2TokenCredential.',
  fields: {
    token: secret({
      description: 'The token, without the word Bearer.',
      maxLength: 16_384,
      format: 'line',
      example: 'mF_9.B5f-4.1JqM',
      invalidExample: 'mF_9.B5f-4.1JqM\n',
    }),
  },
});
