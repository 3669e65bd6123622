import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

const MAX_BYTES = 65_536;

export const binary = defineCredentialKind({
  kind: 'binary',
  typeName: 'BinaryCredential',
  description: 'Secret bytes, such as a keystore file, whose use the connector decides. For PEM text, the certificate kinds say more.',
  fields: {
    valueBase64: secret({
      description: 'The bytes, at most 64 KiB, in base64 (RFC 4648, section 4: with padding, without line breaks; not base64url).',
      maxLength: 4 * Math.ceil(MAX_BYTES / 3),
      maxBytes: MAX_BYTES,
      format: 'base64',
      example: '/u3+7Q==',
      invalidExample: '_u3-7Q',
    }),
  },
});
