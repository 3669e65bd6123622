import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const sendgrid = defineCredentialKind({
  kind: 'sendgrid',
  typeName: 'SendGridCredential',
  description: 'An API key of Twilio SendGrid, the mail service. Twilio’s own is a TwilioCredential.',
  fields: {
    apiKey: secret({
      description: 'The key. Begins with SG.',
      minLength: 4,
      maxLength: 128,
      format: 'line',
      example: 'SG.examplekey',
      invalidExample: 'SG.',
    }),
  },
});
