import { LONGEST_SECRET, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const customFunction = defineCredentialKind({
  kind: 'customFunction',
  typeName: 'CustomFunctionCredential',
  description:
    'A reference to a function, registered elsewhere, that authenticates requests, and what it is called with. No code is stored here.',
  fields: {
    functionName: text({
      description: 'The name under which the function is registered; not its source.',
      maxLength: 255,
      format: 'reference',
      example: 'sign-request/v2',
      invalidExample: '() => sign()',
    }),
    parameters: text({
      description:
        'What the function is called with and anybody may read: a JSON object, as text. Null when there is nothing. Secrets go into secretParameters.',
      maxLength: 32_768,
      format: 'json',
      optional: true,
      example: '{"region":"eu"}',
      invalidExample: '{region:eu}',
    }),
    secretParameters: secret({
      description: 'What the function is called with and nobody may read: a JSON object, as text, replaced as a whole.',
      maxLength: LONGEST_SECRET,
      format: 'json',
      optional: true,
      example: '{"pin":"4711-secret"}',
      invalidExample: '["4711-secret"]',
    }),
  },
});
