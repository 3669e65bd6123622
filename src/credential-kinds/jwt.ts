import { choice, secret, text } from '../fields/field.ts';
import type { Format } from '../fields/formats.ts';
import { defineCredentialKind } from './define.ts';
import { signingAlgorithm } from './signing-algorithm.ts';
import { type KeyForm, signingKeyIssues } from './signing-key.ts';

/** A shared secret is plain text. A key is one in PEM. */
const form: KeyForm = {
  decode: (plain) => Buffer.from(plain),
  asKeyFiles: (plain) => [plain],
  readAs: 'anyKey',
  keyName: 'in PEM',
};

const secretFormats = Object.fromEntries(
  Object.keys(signingAlgorithm.values).map((algorithm) => [algorithm, algorithm.startsWith('HS') ? 'sharedSecret' : 'pemKey']),
) as Readonly<Record<keyof typeof signingAlgorithm.values, Format>>;

export const jwt = defineCredentialKind({
  kind: 'jwt',
  typeName: 'JWTCredential',
  description: 'A key to sign or verify JSON Web Tokens. It does not contain claims; JWTBearerCredential does.',
  apply: { alone: { not: 'FOR_REQUESTS', purpose: 'signing and verifying tokens, such as those of SSO links' } },
  fields: {
    issuer: text({
      searchable: true,
      description: 'The `iss` claim to set or to expect. Null if there is none.',
      maxLength: 1024,
      optional: true,
      example: 'https://issuer.example.com',
      invalidExample: '',
    }),
    algorithm: choice({ description: 'How tokens are signed.', choices: signingAlgorithm, example: 'HS256', invalidExample: 'none' }),
    secret: secret({
      description:
        'For HS, the shared secret as plain text, not in base64, with at least as many bytes as the hash: 32, 48 or 64. For the other algorithms, a key in PEM: the private key to sign, the public key to verify. For ES, on the curve of the algorithm.',
      maxLength: 4096,
      formatBy: { setting: 'algorithm', formats: secretFormats },
      example: 'a shared secret of 32 bytes, or so',
      invalidExample: '',
    }),
  },
  readsKeyFiles: true,
  check: (write, keyFiles) => signingKeyIssues(write, form, keyFiles),
});
