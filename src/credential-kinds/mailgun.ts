import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const mailgun = defineCredentialKind({
  kind: 'mailgun',
  typeName: 'MailgunCredential',
  description: 'An API key of Mailgun, the mail service. Not an SMTP password, which is a BasicAuthCredential.',
  fields: {
    apiKey: secret({
      description: 'The key, of the account or of one sending domain.',
      minLength: 4,
      maxLength: 128,
      format: 'line',
      example: 'key-examplemailgun',
      invalidExample: 'key',
    }),
  },
});
