import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const twilio = defineCredentialKind({
  kind: 'twilio',
  typeName: 'TwilioCredential',
  description:
    'An API key of a Twilio account. Not the account’s auth token, which cannot be replaced without touching everything that uses it.',
  fields: {
    accountSid: text({
      description: 'Readable. The account. Begins with AC.',
      maxLength: 255,
      example: 'AC00000000000000000000000000000000',
      invalidExample: '',
    }),
    apiKeySid: text({
      description: 'Readable. Which key, the user name of requests. Begins with SK.',
      maxLength: 255,
      example: 'SK00000000000000000000000000000000',
      invalidExample: '',
    }),
    apiKeySecret: secret({
      description: 'The key’s secret, shown by Twilio once.',
      maxLength: 4096,
      format: 'line',
      example: 'tw-s3cret-0042',
      invalidExample: '',
    }),
  },
});
