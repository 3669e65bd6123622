import { LONGEST_SECRET, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const customFunction = defineCredentialKind({
  kind: 'customFunction',
  typeName: 'CustomFunctionCredential',
  description:
    'A reference to a function that authenticates requests, and its parameters. The function is registered elsewhere; its code is not stored here. The gateway does not apply it.',
  apply: { alone: { not: 'SUPPORTED', purpose: 'a function that is registered elsewhere, which the gateway cannot call' } },
  fields: {
    functionName: text({
      searchable: true,
      description: 'The name under which the function is registered.',
      maxLength: 255,
      format: 'reference',
      example: 'sign-request/v2',
      invalidExample: '() => sign()',
    }),
    parameters: text({
      description:
        'The parameters that are not secret, as the text of a JSON object. Null if there are none. Put secrets into secretParameters.',
      maxLength: 32_768,
      format: 'json',
      optional: true,
      example: '{"region":"eu"}',
      invalidExample: '{region:eu}',
    }),
    secretParameters: secret({
      description: 'The secret parameters, as the text of a JSON object. An update replaces the whole object.',
      maxLength: LONGEST_SECRET,
      format: 'json',
      optional: true,
      example: '{"pin":"4711-secret"}',
      invalidExample: '["4711-secret"]',
    }),
  },
});
