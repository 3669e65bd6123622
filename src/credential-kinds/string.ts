import { LONGEST_SECRET, secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const string = defineCredentialKind({
  kind: 'string',
  typeName: 'StringCredential',
  description:
    'One secret text whose use the connector decides. When it is an API key for a header, or a bearer token, the kinds of those names say more.',
  fields: {
    value: secret({
      description: 'The text, kept exactly as given, spaces and line breaks included.',
      maxLength: LONGEST_SECRET,
      example: 'sesame-7Qd2',
      invalidExample: '',
    }),
  },
});
