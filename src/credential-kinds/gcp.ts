import { secret } from '../fields/field.ts';
import { parseJsonObject, parsePrivateKey } from '../fields/formats.ts';
import type { Redacted } from '../redacted.ts';
import { defineCredentialKind } from './define.ts';
import { exampleGcpKey } from './examples-pem.ts';
import type { FactObject } from './facts.ts';

/** The members of a key file that may be shown, by the name they have there. What is not listed stays sealed. */
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
  description: 'The members of a Google key file that are not secret, as the file gives them. Null where the file has none.',
  members: {
    type: { type: 'String', description: 'What the file is for, `service_account`.' },
    projectId: { type: 'String', description: 'The project that the account belongs to.' },
    privateKeyId: { type: 'String', description: 'Google’s id of the key. It tells which key to revoke; it is not the key.' },
    clientEmail: { type: 'String', description: 'The account’s address: what permissions are granted to.' },
    clientId: { type: 'String', description: 'The account’s number.' },
    authUri: { type: 'String', description: 'Google’s authorization endpoint.' },
    tokenUri: { type: 'String', description: 'Google’s token endpoint.' },
    clientX509CertUrl: { type: 'String', description: 'Where Google publishes the account’s certificates.' },
  },
};

export const gcp = defineCredentialKind({
  kind: 'gcp',
  typeName: 'GCPCredential',
  description: 'The key file of a Google Cloud service account, or another file of Google’s that has a type.',
  fields: {
    keyJson: secret({
      description: 'The whole file, as JSON text. What is public of it is read back as keyMeta.',
      maxLength: 8192,
      format: 'json',
      example: exampleGcpKey,
      invalidExample: 'AIzaSyExample',
    }),
  },
  facts: { keyMeta: { type: keyMeta, description: 'What is public of the key file.' } },
  check({ secrets }) {
    const file = fileIn(secrets.keyJson);
    if (!file) return [];
    const isComplete =
      file.type === 'service_account' ? parsePrivateKey(String(file.private_key)) !== undefined : typeof file.type === 'string';
    if (isComplete) return [];
    return [
      { path: ['keyJson'], message: 'must be a Google key file: with its type and, when that is service_account, its private_key in PEM' },
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
