import { defineCredentialKind, secret, text } from 'credential-gateway';

export const badge = defineCredentialKind({
  kind: 'badge',
  typeName: 'BadgeCredential',
  description: 'A badge for the doors of a company.',
  fields: {
    number: text({ description: 'The number on it.', maxLength: 16, example: '007', invalidExample: '' }),
    pin: secret({ description: 'What is typed beside it.', maxLength: 8, format: 'any', example: '1234', invalidExample: '123456789' }),
  },
  check: ({ settings, isSet }) =>
    settings.number === '000' && isSet.pin ? [{ path: ['number'], message: 'is not a number of a badge with a PIN' }] : [],
});
