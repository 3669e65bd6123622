import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { secret, text } from '../fields/field.ts';
import { parsePrivateKey } from '../fields/formats.ts';
import { Redacted } from '../redacted.ts';
import { defineCredentialKind } from './define.ts';
import { exampleRsaKey } from './examples-pem.ts';

const MIN_BITS = 2048;

export const snowflake = defineCredentialKind({
  kind: 'snowflake',
  typeName: 'SnowflakeCredential',
  description:
    'A Snowflake user that authenticates with a key pair. Set privateKey or let the server generate it, then register publicKey for the user in Snowflake.',
  destinations: ['host'],
  fields: {
    host: text({
      description: 'The hostname of the account. A new value must also replace privateKey.',
      maxLength: 253,
      format: 'hostname',
      example: 'example-account.snowflakecomputing.com',
      invalidExample: 'https://example.snowflakecomputing.com',
    }),
    username: text({ description: 'Not secret. The Snowflake user.', maxLength: 255, example: 'GATEWAY', invalidExample: '' }),
    privateKey: secret({
      description:
        'An RSA private key of at least 2048 bits, in PEM, without a passphrase. Required unless generatePrivateKey is true. It cannot be cleared.',
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
  generate: {
    field: 'privateKey',
    async make() {
      const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: MIN_BITS });
      return new Redacted(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    },
  },
  check({ secrets, isSet, generated, before }) {
    if (!isSet.privateKey && !generated)
      return [{ path: ['privateKey'], message: before ? 'cannot be cleared' : 'is required unless generatePrivateKey is true' }];
    if (secrets.privateKey === undefined) return [];
    const key = keyIn(secrets.privateKey);
    if (key?.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_BITS) return [];
    return [{ path: ['privateKey'], message: `must be an RSA key of at least ${MIN_BITS} bits` }];
  },
  derive({ secrets }) {
    const key = secrets.privateKey && keyIn(secrets.privateKey);
    return key ? { publicKey: createPublicKey(key).export({ type: 'spki', format: 'pem' }) } : {};
  },
});

function keyIn(privateKey: Redacted): KeyObject | undefined {
  return parsePrivateKey(privateKey.expose());
}
