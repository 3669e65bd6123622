import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Password = defineCredentialKind({
  kind: 'oauth2Password',
  typeName: 'OAuth2PasswordCredential',
  description:
    'A user name and password for the OAuth 2.0 password grant (RFC 6749, section 4.3). If the server requires a client id and secret, the connector defines them.',
  apply: { alone: { not: 'WITHOUT_SCHEME' }, schemes: { OAUTH2: true } },
  fields: {
    username: text({
      searchable: true,
      description: 'Not secret. The user name of the resource owner.',
      maxLength: 255,
      example: 'ada@example.com',
      invalidExample: '',
    }),
    password: secret({
      description: 'The password of the resource owner, not the client secret.',
      maxLength: 4096,
      format: 'password',
      example: 'four score and seven',
      invalidExample: '',
    }),
  },
});
