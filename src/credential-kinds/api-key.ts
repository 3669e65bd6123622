import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const apiKey = defineCredentialKind({
  kind: 'apiKey',
  typeName: 'APIKeyCredential',
  description:
    'A key that a service expects in a header of its own choosing. In the Authorization header after the word Bearer, it is a BearerTokenCredential.',
  fields: {
    headerName: text({
      description: 'The header that carries the key.',
      maxLength: 255,
      format: 'httpToken',
      example: 'X-Api-Key',
      invalidExample: 'X-Api-Key: ',
    }),
    apiKey: secret({
      description: 'The key: what stands after the colon.',
      maxLength: 8192,
      format: 'line',
      example: 'ak_live_51Hx',
      invalidExample: 'ak_live_51Hx\n',
    }),
  },
});
