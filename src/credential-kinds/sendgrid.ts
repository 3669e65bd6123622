import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const sendgrid = defineCredentialKind({
  kind: 'sendgrid',
  typeName: 'SendGridCredential',
  description: 'An API key of the email service Twilio SendGrid. For Twilio itself, use TwilioCredential.',
  apply: {
    alone: { put: 'HEADER', name: 'Authorization', value: 'Bearer {apiKey}' },
    schemes: { API_KEY: '{apiKey}', SECRET: '{apiKey}' },
  },
  fields: {
    apiKey: secret({
      description: 'The API key. Begins with SG.',
      minLength: 4,
      maxLength: 128,
      format: 'token',
      example: 'SG.examplekey',
      invalidExample: 'SG.',
    }),
  },
});
