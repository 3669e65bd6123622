import { isEmptySecret } from '../fields/check.ts';
import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const basicAuth = defineCredentialKind({
  kind: 'basicAuth',
  typeName: 'BasicAuthCredential',
  description: 'A user name and a password for HTTP Basic authentication (RFC 7617).',
  apply: {
    alone: { put: 'BASIC', user: '{username}', password: '{password}' },
    schemes: { BASIC_AUTH: { user: '{username}', password: '{password}' } },
  },
  fields: {
    username: text({
      searchable: true,
      description:
        'Not secret. Often an email address. No colons: Basic authentication does not allow them. Can be empty if the password is not.',
      minLength: 0,
      maxLength: 255,
      format: 'userId',
      example: 'ada@example.com',
      invalidExample: 'ada:lovelace',
    }),
    password: secret({
      description:
        'The password, or an API token if the service accepts one as the password. Can be empty if the user name is not, for services that take a key as the user name.',
      minLength: 0,
      maxLength: 4096,
      format: 'password',
      example: 'correct horse battery staple',
      invalidExample: 'correct horse\nbattery staple',
    }),
  },
  internalFacts: { isPasswordEmpty: 'Whether the stored password is empty, so that the user name cannot be replaced by an empty one.' },
  check({ settings, secrets, facts }) {
    const isEmpty = secrets.password ? isEmptySecret(secrets.password) : facts.isPasswordEmpty === true;
    if (settings.username !== '' || !isEmpty) return [];
    return [{ path: ['username'], message: 'must not be empty if the password is empty' }];
  },
  derive: ({ secrets }) => (secrets.password ? { isPasswordEmpty: isEmptySecret(secrets.password) } : {}),
});
