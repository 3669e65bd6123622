import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const twilio = defineCredentialKind({
  kind: 'twilio',
  typeName: 'TwilioCredential',
  description: 'An API key of a Twilio account. Not the account’s auth token: replacing that token affects everything that uses it.',
  apply: {
    // Twilio, "REST API: Authentication": an API key is the user name, its secret the password.
    alone: { put: 'BASIC', user: '{apiKeySid}', password: '{apiKeySecret}' },
    schemes: { BASIC_AUTH: { user: '{apiKeySid}', password: '{apiKeySecret}' } },
  },
  fields: {
    accountSid: text({
      searchable: true,
      description: 'Not secret. The id of the account. Begins with AC.',
      maxLength: 255,
      format: 'identifier',
      example: 'AC00000000000000000000000000000000',
      invalidExample: '',
    }),
    apiKeySid: text({
      searchable: true,
      description: 'Not secret. The id of the key, used as the user name of requests. Begins with SK.',
      maxLength: 255,
      format: 'identifier',
      example: 'SK00000000000000000000000000000000',
      invalidExample: '',
    }),
    apiKeySecret: secret({
      description: 'The secret of the key. Twilio shows it only once.',
      maxLength: 4096,
      format: 'token',
      example: 'tw-s3cret-0042',
      invalidExample: '',
    }),
  },
});
