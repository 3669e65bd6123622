import { isEmptySecret } from '../fields/check.ts';
import { type Choices, choice, secret, text } from '../fields/field.ts';
import { type Format, formats, readAsOf } from '../fields/formats.ts';
import type { KeyFiles } from '../key-files/index.ts';
import { type CredentialKind, defineCredentialKind } from './define.ts';

const authMethod = {
  enumName: 'HTTPAuthMethod',
  description: 'Where the secret is put in a request.',
  values: {
    HEADER: 'In the header that publicValue names, or in Authorization if publicValue is null.',
    QUERY_PARAM: 'In the query parameter that publicValue names.',
    BASIC_AUTH: 'In Basic authentication: publicValue is the user name and secretValue the password. One of them can be empty.',
    CLIENT_CERTIFICATE: 'In TLS client authentication: publicValue is the certificate and secretValue its private key, both in PEM.',
  },
} as const satisfies Choices;

/** The meaning of `publicValue` for each method. */
const publicValue: Record<keyof typeof authMethod.values, { readonly is: string; readonly format: Format; readonly optional?: boolean }> = {
  HEADER: { is: 'the header’s name', format: 'httpToken', optional: true },
  QUERY_PARAM: { is: 'the parameter’s name', format: 'line' },
  BASIC_AUTH: { is: 'the user name', format: 'userId' },
  CLIENT_CERTIFICATE: { is: 'the certificate in PEM', format: 'pemCertificates' },
};

export const http: CredentialKind = defineCredentialKind({
  kind: 'http',
  typeName: 'HTTPCredential',
  description: 'A secret for all requests whose URL matches uriMatch.',
  destinations: ['uriMatch'],
  fields: {
    uriMatch: text({
      description:
        'The URLs that the secret may be sent to: a prefix or a pattern, including the scheme. Make it as narrow as possible. A new value must also replace secretValue.',
      minLength: 8,
      maxLength: 1024,
      example: 'https://api.example.com/*',
      invalidExample: 'http://',
    }),
    authMethod: choice({
      description: 'Where the secret is put in a request. A change must also replace secretValue.',
      choices: authMethod,
      example: 'HEADER',
      invalidExample: 'COOKIE',
    }),
    publicValue: text({
      description:
        'Not secret. Depending on authMethod: the name of the header or query parameter, the user name, or the certificate. Only a user name can be empty.',
      minLength: 0,
      maxLength: 32_768,
      format: 'multiline',
      optional: true,
      example: 'X-Api-Key',
      invalidExample: 'X-Api-Key\u0000',
    }),
    secretValue: secret({
      description:
        'Depending on authMethod: the value of the header or query parameter, the password, or the private key. Only a password can be empty.',
      minLength: 0,
      maxLength: 16_384,
      format: 'multiline',
      example: 'hs_5up3r-s3cr3t',
      invalidExample: 'hs_5up3r\u0000s3cr3t',
    }),
  },
  readsKeyFiles: true,
  internalFacts: { isSecretEmpty: 'Whether the stored secret is empty, which only the password of Basic authentication can be.' },
  async check({ settings, before, secrets, isSet, facts }, keyFiles) {
    const method = settings.authMethod;
    if (!method) return [];
    const { is, format, optional } = publicValue[method];
    const issues = [];
    if (settings.publicValue === undefined) {
      if (!optional) issues.push({ path: ['publicValue'], message: `is required with ${method}: it is ${is}` });
    } else if (settings.publicValue === '' && method !== 'BASIC_AUTH') {
      issues.push({ path: ['publicValue'], message: 'must not be empty' });
    } else if (!(await isAccepted(format, settings.publicValue, keyFiles))) {
      issues.push({ path: ['publicValue'], message: `is ${is} with ${method} and ${formats[format].message}` });
    }
    const isEmpty = secrets.secretValue ? isEmptySecret(secrets.secretValue) : facts.isSecretEmpty === true;
    if (isEmpty && secrets.secretValue && method !== 'BASIC_AUTH')
      return [...issues, { path: ['secretValue'], message: 'must not be empty' }];
    if (isEmpty && settings.publicValue === '' && method === 'BASIC_AUTH')
      issues.push({ path: ['publicValue'], message: 'must not be empty if secretValue is empty' });
    const isKey = secrets.secretValue !== undefined && method === 'CLIENT_CERTIFICATE';
    if (isKey && !(await keyFiles.read('privateKey', secrets.secretValue)))
      issues.push({
        path: ['secretValue'],
        message: `is the certificate’s private key with ${method} and ${formats.pemPrivateKey.message}`,
      });
    if (before && before.authMethod !== method && isSet.secretValue && secrets.secretValue === undefined)
      issues.push({ path: ['secretValue'], message: 'must be set when authMethod changes: the stored value belongs to the old method' });
    return issues;
  },
  derive: ({ secrets }) => (secrets.secretValue ? { isSecretEmpty: isEmptySecret(secrets.secretValue) } : {}),
});

async function isAccepted(format: Format, text: string, keyFiles: KeyFiles): Promise<boolean> {
  const readAs = readAsOf(format);
  return formats[format].accepts(text) && (!readAs || (await keyFiles.read(readAs, text)) !== undefined);
}
