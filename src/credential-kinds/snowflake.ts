import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { exampleRsaKey } from './examples-pem.ts';

export const snowflake = defineCredentialKind({
  kind: 'snowflake',
  typeName: 'SnowflakeCredential',
  description:
    'A Snowflake user that authenticates with a key pair. Set privateKey or let the server generate it, then register publicKey for the user in Snowflake.',
  apply: {
    alone: { put: 'SNOWFLAKE_TOKEN', parts: { host: '{host}', user: '{username}', privateKey: '{privateKey}' } },
    only: { hosts: ['{host}'] },
  },
  destinations: ['host'],
  fields: {
    host: text({
      searchable: true,
      description: 'The hostname of the account. A new value must also replace privateKey.',
      maxLength: 253,
      format: 'hostname',
      example: 'example-account.snowflakecomputing.com',
      invalidExample: 'https://example.snowflakecomputing.com',
    }),
    username: text({ description: 'Not secret. The Snowflake user.', maxLength: 255, example: 'GATEWAY', invalidExample: '' }),
    privateKey: secret({
      description:
        'An RSA private key of 2048 to 8192 bits, in PEM, without a passphrase. Required unless generatePrivateKey is true. It cannot be cleared.',
      maxLength: 16_384,
      format: 'pemPrivateKey',
      optional: true,
      example: exampleRsaKey,
      invalidExample: '-----BEGIN PRIVATE KEY-----',
    }),
  },
  facts: {
    publicKey: {
      type: 'String',
      description: 'The public key of the stored private key, in PEM. For `ALTER USER … SET RSA_PUBLIC_KEY`, omit the first and last line.',
    },
  },
  generate: { field: 'privateKey', make: (keyFiles) => keyFiles.generate('rsa') },
  async check({ secrets, isSet, generated, before }, keyFiles) {
    if (!isSet.privateKey && !generated)
      return [{ path: ['privateKey'], message: before ? 'cannot be cleared' : 'is required unless generatePrivateKey is true' }];
    if (secrets.privateKey === undefined || (await keyFiles.read('privateKey', secrets.privateKey))?.type === 'rsa') return [];
    return [{ path: ['privateKey'], message: 'must be an RSA key of 2048 to 8192 bits' }];
  },
  async derive({ secrets }, keyFiles) {
    const key = secrets.privateKey && (await keyFiles.read('privateKey', secrets.privateKey));
    return key ? { publicKey: key.publicKey } : {};
  },
});
