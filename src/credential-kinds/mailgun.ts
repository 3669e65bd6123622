import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const mailgun = defineCredentialKind({
  kind: 'mailgun',
  typeName: 'MailgunCredential',
  description: 'An API key of the email service Mailgun. For an SMTP password, use BasicAuthCredential.',
  apply: {
    // Mailgun, "Authentication": the user name is always `api`.
    alone: { put: 'BASIC', user: 'api', password: '{apiKey}' },
    schemes: { BASIC_AUTH: { user: 'api', password: '{apiKey}' }, API_KEY: '{apiKey}', SECRET: '{apiKey}' },
  },
  fields: {
    apiKey: secret({
      description: 'The API key of the account or of one sending domain.',
      minLength: 4,
      maxLength: 128,
      format: 'token',
      example: 'key-examplemailgun',
      invalidExample: 'key',
    }),
  },
});
