import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const basicAuth = defineCredentialKind({
  kind: 'basicAuth',
  typeName: 'BasicAuthCredential',
  description: 'A user name and a password for HTTP Basic authentication (RFC 7617).',
  fields: {
    username: text({
      description: 'Readable. Often a mail address. Without a colon, which Basic authentication uses to end it.',
      maxLength: 255,
      format: 'userId',
      example: 'ada@example.com',
      invalidExample: 'ada:lovelace',
    }),
    password: secret({
      description: 'The password, or an API token where a service takes one in its place.',
      maxLength: 4096,
      example: 'correct horse battery staple',
      invalidExample: '',
    }),
  },
});
