import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const whatsapp = defineCredentialKind({
  kind: 'whatsapp',
  typeName: 'WhatsAppCredential',
  description: 'Access to one sender of the WhatsApp Business Platform.',
  fields: {
    fromNumberId: text({
      description: 'Readable. Meta’s id of the sending number; not the number itself.',
      maxLength: 255,
      example: '106540352242922',
      invalidExample: '',
    }),
    accessToken: secret({
      description: 'A system user’s token. Those from the developer console last a day only.',
      maxLength: 16_384,
      format: 'line',
      example: 'EAAJB-example-wa',
      invalidExample: '',
    }),
  },
});
