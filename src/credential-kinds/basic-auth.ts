import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const basicAuth = defineCredentialKind({
  kind: 'basicAuth',
  typeName: 'BasicAuthCredential',
  description: 'A user name and a password for HTTP Basic authentication (RFC 7617).',
  fields: {
    username: text({
      description: 'Not secret. Often an email address. No colons: Basic authentication does not allow them.',
      maxLength: 255,
      format: 'userId',
      example: 'ada@example.com',
      invalidExample: 'ada:lovelace',
    }),
    password: secret({
      description: 'The password, or an API token if the service accepts one as the password.',
      maxLength: 4096,
      format: 'password',
      example: 'correct horse battery staple',
      invalidExample: '',
    }),
  },
});
