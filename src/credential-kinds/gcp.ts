import { hasArmorLines } from '../fields/armor.ts';
import { secret } from '../fields/field.ts';
import { parseJsonObject } from '../fields/formats.ts';
import { showsSecret } from '../fields/shown-secrets.ts';
import { Redacted } from '../redacted.ts';
import { defineCredentialKind } from './define.ts';
import { exampleGcpKey } from './examples-pem.ts';
import type { FactObject } from './facts.ts';

/** Maps our names of the public members of a key file to their names in the file. All other members stay sealed. */
const publicMembers = {
  type: 'type',
  projectId: 'project_id',
  privateKeyId: 'private_key_id',
  clientEmail: 'client_email',
  clientId: 'client_id',
  authUri: 'auth_uri',
  tokenUri: 'token_uri',
  clientX509CertUrl: 'client_x509_cert_url',
} as const;

const keyMeta: FactObject = {
  typeName: 'GCPKeyMeta',
  description: 'The members of a Google key file that are not secret. Null where the file does not have the member.',
  members: {
    type: { type: 'String', description: 'The type of the key file, such as `service_account`.' },
    projectId: { type: 'String', description: 'The project of the account.' },
    privateKeyId: { type: 'String', description: 'Google’s id of the key, needed to revoke it. Not the key itself.' },
    clientEmail: { type: 'String', description: 'The email address of the account. Permissions are granted to it.' },
    clientId: { type: 'String', description: 'The numeric id of the account.' },
    authUri: { type: 'String', description: 'Google’s authorization endpoint.' },
    tokenUri: { type: 'String', description: 'Google’s token endpoint.' },
    clientX509CertUrl: { type: 'String', description: 'The URL of the account’s public certificates.' },
  },
};

export const gcp = defineCredentialKind({
  kind: 'gcp',
  typeName: 'GCPCredential',
  description: 'The JSON key file of a Google Cloud service account, or another Google credential file that has a `type`.',
  apply: { alone: { put: 'TOKEN' }, schemes: { GOOGLE_SERVICE_ACCOUNT: true, OAUTH2: true } },
  fields: {
    keyJson: secret({
      description: 'The whole file, as JSON text. Its public members are returned as keyMeta.',
      maxLength: 8192,
      format: 'json',
      example: exampleGcpKey,
      invalidExample: 'AIzaSyExample',
    }),
  },
  facts: { keyMeta: { type: keyMeta, description: 'The public members of the key file.' } },
  readsKeyFiles: true,
  async check({ secrets }, keyFiles) {
    const file = fileIn(secrets.keyJson);
    if (!file) return [];
    // Of other types of file, a private_key is no key that anybody uses; it is not read.
    const isComplete =
      file.type === 'service_account'
        ? typeof file.private_key === 'string' &&
          hasArmorLines(file.private_key) &&
          (await keyFiles.read('privateKey', new Redacted(file.private_key))) !== undefined
        : typeof file.type === 'string';
    if (isComplete) {
      // They become facts, which everyone who can read the credential can read.
      const isShowing = Object.values(publicMembers).some((name) => showsSecret(String(file[name] ?? '')));
      return isShowing
        ? [{ path: ['keyJson'], message: 'must not contain a user name, password or token in its URLs, which are readable' }]
        : [];
    }
    return [
      {
        path: ['keyJson'],
        message:
          'must be a Google key file with a type and, if the type is service_account, a private_key: one key in PEM with its line breaks, such as RSA with 2048 to 8192 bits. Send the file as it was downloaded',
      },
    ];
  },
  derive({ secrets }) {
    const file = fileIn(secrets.keyJson);
    const textOf = (name: string) => (typeof file?.[name] === 'string' ? file[name] : null);
    return file ? { keyMeta: Object.fromEntries(Object.entries(publicMembers).map(([ours, theirs]) => [ours, textOf(theirs)])) } : {};
  },
});

/** What the key file says, if this write sets one. */
function fileIn(keyJson: Redacted | undefined): Record<string, unknown> | undefined {
  return keyJson && parseJsonObject(keyJson.expose());
}
