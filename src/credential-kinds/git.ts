import { type Choices, choice, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { redirected } from './redirected.ts';

const gitAuthentication = {
  enumName: 'GitAuthentication',
  description: 'How Git authenticates to the server.',
  values: {
    SSH_KEY: 'With an SSH key. secretValue is the private key; register publicKey with the Git server.',
    HTTP_PASSWORD: 'Over HTTPS. secretValue is the password or access token.',
  },
} as const satisfies Choices;

export const git = defineCredentialKind({
  kind: 'git',
  typeName: 'GitCredential',
  description: 'Access to one Git repository, and the name and email address for commits to it.',
  apply: {
    by: 'type',
    each: {
      SSH_KEY: { alone: { not: 'FOR_REQUESTS', purpose: 'access to a Git repository over SSH' } },
      HTTP_PASSWORD: {
        alone: { put: 'BASIC', user: '{username|}', password: '{secretValue}' },
        schemes: { BASIC_AUTH: { user: '{username|}', password: '{secretValue}' } },
      },
    },
    only: { hostOf: '{cloneUrl}' },
  },
  fields: {
    type: choice({
      description: 'How to authenticate. A change must also replace or clear secretValue.',
      choices: gitAuthentication,
      example: 'HTTP_PASSWORD',
      invalidExample: 'GPG_KEY',
    }),
    cloneUrl: text({
      searchable: true,
      description:
        'Not secret. The URL for `git clone`. Must not contain a password or token; put it into secretValue, and the user name into username. An ssh URL may contain its user name. With HTTP_PASSWORD, a new value must also replace or clear secretValue.',
      minLength: 5,
      maxLength: 1024,
      format: 'cloneUrl',
      example: 'https://git.example.com/team/app.git',
      invalidExample: 'https://ada:s3cret@git.example.com/team/app.git',
    }),
    secretValue: secret({
      description:
        'The password, or the SSH private key in PEM or OpenSSH format (Ed25519: OpenSSH only) without a passphrase. Not set for a public repository. With SSH_KEY, generatePrivateKey generates a key.',
      maxLength: 16_384,
      formatBy: { setting: 'type', formats: { SSH_KEY: 'sshPrivateKey', HTTP_PASSWORD: 'password' } },
      optional: true,
      example: 'ghp_examplepassword',
      invalidExample: '',
    }),
    username: text({
      searchable: true,
      description: 'Not secret. The user name for the password. Null if the server needs none.',
      maxLength: 255,
      optional: true,
      example: 'ada',
      invalidExample: '',
    }),
    committerName: text({
      searchable: true,
      description: 'The name in commits. Null means username.',
      maxLength: 255,
      optional: true,
      example: 'Ada Lovelace',
      invalidExample: '',
    }),
    committerEmail: text({
      searchable: true,
      description: 'The email address in commits. Null if commits have none.',
      maxLength: 254,
      format: 'email',
      optional: true,
      example: 'ada@example.com',
      invalidExample: 'ada',
    }),
  },
  facts: {
    publicKey: {
      type: 'String',
      description:
        'The public key of the stored SSH key, such as `ssh-ed25519 AAAA…`. Register it with the Git server. Null with HTTP_PASSWORD.',
    },
  },
  generate: { field: 'secretValue', make: (keyFiles) => keyFiles.generate('ssh') },
  check(write) {
    const { settings, before, secrets, isSet, generated } = write;
    if (settings.type === undefined) return [];
    const isSsh = settings.type === 'SSH_KEY';
    if (generated && !isSsh) return [{ path: ['generatePrivateKey'], message: 'requires type SSH_KEY' }];
    if (before && before.type !== settings.type && isSet.secretValue && secrets.secretValue === undefined && !generated)
      return [{ path: ['secretValue'], message: 'must be set or cleared when type changes: the stored value belongs to the old type' }];
    // An SSH key never leaves the client; a password is sent to the server.
    return isSsh ? [] : redirected(write, ['cloneUrl']);
  },
  async derive({ settings, secrets, isSet }, keyFiles) {
    if (settings.type !== 'SSH_KEY' || !isSet.secretValue) return { publicKey: null };
    return secrets.secretValue === undefined ? {} : { publicKey: (await keyFiles.read('sshKey', secrets.secretValue))?.publicKey };
  },
});
