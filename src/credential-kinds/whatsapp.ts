import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const whatsapp = defineCredentialKind({
  kind: 'whatsapp',
  typeName: 'WhatsAppCredential',
  description: 'Access to one sender of the WhatsApp Business Platform.',
  apply: {
    alone: { put: 'HEADER', name: 'Authorization', value: 'Bearer {accessToken}' },
    schemes: { API_KEY: '{accessToken}', SECRET: '{accessToken}' },
  },
  fields: {
    fromNumberId: text({
      searchable: true,
      description: 'Not secret. Meta’s id of the sending phone number, not the number itself.',
      maxLength: 255,
      format: 'identifier',
      example: '106540352242922',
      invalidExample: '',
    }),
    accessToken: secret({
      description: 'The access token of a system user. Tokens from the developer console are valid for one day only.',
      maxLength: 16_384,
      format: 'token',
      example: 'EAAJB-example-wa',
      invalidExample: '',
    }),
  },
});
