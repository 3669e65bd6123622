import { LONGEST_SECRET, secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const string = defineCredentialKind({
  kind: 'string',
  typeName: 'StringCredential',
  description:
    'A secret text. The connector decides how it is used. For an API key in a header or a bearer token, use APIKeyCredential or BearerTokenCredential.',
  apply: {
    alone: { not: 'WITHOUT_SCHEME' },
    schemes: { API_KEY: '{value}', SECRET: '{value}', HMAC: { key: '{value}', encoding: 'utf8' } },
  },
  fields: {
    value: secret({
      description: 'The text, stored unchanged, including spaces and line breaks.',
      maxLength: LONGEST_SECRET,
      format: 'any',
      example: 'sesame-7Qd2',
      invalidExample: '',
    }),
  },
});
