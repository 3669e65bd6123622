import { defineCredentialKind } from './define.ts';

export const none = defineCredentialKind({
  kind: 'none',
  typeName: 'NoneCredential',
  description: 'An empty credential, for services without authentication: with it, every connection has a credential.',
  apply: { alone: { put: 'NOTHING' } },
  fields: {},
});
