import { type Choices, choice, secret, text } from '../fields/field.ts';
import type { Redacted } from '../redacted.ts';
import { defineCredentialKind } from './define.ts';
import { generateSshKey, sshPublicKey } from './ssh-keys.ts';

const gitAuthentication = {
  enumName: 'GitAuthentication',
  description: 'How Git proves to the server who it is.',
  values: {
    SSH_KEY: 'With an SSH key: secretValue is the private key, and publicKey is to be registered with the server.',
    HTTP_PASSWORD: 'With a password or an access token over HTTPS: secretValue is that.',
  },
} as const satisfies Choices;

export const git = defineCredentialKind({
  kind: 'git',
  typeName: 'GitCredential',
  description: 'Access to one Git repository, and the name under which commits are made.',
  fields: {
    type: choice({
      description: 'How to authenticate; not the kind of the credential. Whoever changes it gives secretValue too, or clears it.',
      choices: gitAuthentication,
      example: 'HTTP_PASSWORD',
      invalidExample: 'GPG_KEY',
    }),
    cloneUrl: text({
      description: 'Readable. What `git clone` takes, without a password: that is secretValue.',
      minLength: 5,
      maxLength: 1024,
      format: 'cloneUrl',
      example: 'https://git.example.com/team/app.git',
      invalidExample: 'https://ada:s3cret@git.example.com/team/app.git',
    }),
    secretValue: secret({
      description:
        'The private key in PEM or OpenSSH’s form without a passphrase, or the password. Unset for a public repository. With SSH_KEY, generatePrivateKey makes one.',
      maxLength: 16_384,
      optional: true,
      example: 'ghp_examplepassword',
      invalidExample: '',
    }),
    username: text({
      description: 'Readable. The login that goes with a password. Null when the server asks for none.',
      maxLength: 255,
      optional: true,
      example: 'ada',
      invalidExample: '',
    }),
    committerName: text({
      description: 'The name in commits. Null means the login.',
      maxLength: 255,
      optional: true,
      example: 'Ada Lovelace',
      invalidExample: '',
    }),
    committerEmail: text({
      description: 'The mail address in commits. Null when commits carry none.',
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
        'The public half of the stored SSH key, as in `ssh-ed25519 AAAA…`: what the Git server registers. Null with HTTP_PASSWORD.',
    },
  },
  generate: { field: 'secretValue', make: generateSshKey },
  check({ settings, before, secrets, isSet, generated }) {
    const isSsh = settings.type === 'SSH_KEY';
    if (generated && !isSsh) return [{ path: ['generatePrivateKey'], message: 'needs type SSH_KEY' }];
    if (isSsh && secrets.secretValue !== undefined && !publicKeyOf(secrets.secretValue))
      return [{ path: ['secretValue'], message: 'must be an SSH private key without a passphrase, in PEM or OpenSSH’s form' }];
    if (before && before.type !== settings.type && isSet.secretValue && secrets.secretValue === undefined && !generated)
      return [{ path: ['secretValue'], message: 'must be given or cleared when type changes: the stored one belongs to the other type' }];
    return [];
  },
  derive({ settings, secrets, isSet }) {
    if (settings.type !== 'SSH_KEY' || !isSet.secretValue) return { publicKey: null };
    return secrets.secretValue === undefined ? {} : { publicKey: publicKeyOf(secrets.secretValue) };
  },
});

function publicKeyOf(privateKey: Redacted): string | undefined {
  return sshPublicKey(privateKey.expose());
}
