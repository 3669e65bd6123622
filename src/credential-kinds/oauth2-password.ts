import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Password = defineCredentialKind({
  kind: 'oauth2Password',
  typeName: 'OAuth2PasswordCredential',
  description:
    'A user’s name and password for the OAuth 2.0 password grant (RFC 6749, section 4.3). The client’s id and secret, if the server wants them, are the connector’s.',
  fields: {
    username: text({
      description: 'Readable. The resource owner’s name at the OAuth server.',
      maxLength: 255,
      example: 'ada@example.com',
      invalidExample: '',
    }),
    password: secret({
      description: 'The password of that user, not of the client.',
      maxLength: 4096,
      example: 'four score and seven',
      invalidExample: '',
    }),
  },
});
