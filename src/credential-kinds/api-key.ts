import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const apiKey = defineCredentialKind({
  kind: 'apiKey',
  typeName: 'APIKeyCredential',
  description: 'An API key that is sent in a header of the service’s choice. For `Authorization: Bearer`, use BearerTokenCredential.',
  apply: {
    alone: { put: 'HEADER', name: '{headerName}', value: '{apiKey}' },
    schemes: { API_KEY: '{apiKey}', SECRET: '{apiKey}', HMAC: { key: '{apiKey}', encoding: 'utf8' } },
  },
  fields: {
    headerName: text({
      searchable: true,
      description: 'The header that carries the key.',
      maxLength: 255,
      format: 'httpToken',
      example: 'X-Api-Key',
      invalidExample: 'X-Api-Key: ',
    }),
    apiKey: secret({
      description: 'The key, sent as the value of the header.',
      maxLength: 8192,
      format: 'headerValue',
      example: 'ak_live_51Hx',
      invalidExample: 'ak_live_51Hx\n',
    }),
  },
});
