import { defineCredentialKind } from './define.ts';

export const none = defineCredentialKind({
  kind: 'none',
  typeName: 'NoneCredential',
  description: 'Nothing at all, for services that want no authentication: so that every connection can be treated alike.',
  fields: {},
});
