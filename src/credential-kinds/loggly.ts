import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const loggly = defineCredentialKind({
  kind: 'loggly',
  typeName: 'LogglyCredential',
  description: 'The customer token of a Loggly account, for sending logs to it.',
  apply: {
    // Loggly’s own documentation writes its URLs in this way: https://logs-01.loggly.com/inputs/TOKEN/tag/http/
    alone: { put: 'PATH', placeholder: 'TOKEN', value: '{customerToken}' },
    schemes: { API_KEY: '{customerToken}', SECRET: '{customerToken}' },
  },
  fields: {
    customerToken: secret({
      description: 'The token. Loggly puts it into URLs: treat these URLs as secrets.',
      maxLength: 128,
      format: 'urlSegment',
      example: 'b9f8c1d2-logg-ly00',
      invalidExample: '',
    }),
  },
});
