import { isEmptySecret } from '../fields/check.ts';
import { type Choices, choice, secret, text } from '../fields/field.ts';
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
const meanings: Readonly<Record<keyof typeof authMethod.values, { readonly is: string; readonly optional?: boolean }>> = {
  HEADER: { is: 'the header’s name', optional: true },
  QUERY_PARAM: { is: 'the parameter’s name' },
  BASIC_AUTH: { is: 'the user name' },
  CLIENT_CERTIFICATE: { is: 'the certificate in PEM' },
};

export const http: CredentialKind = defineCredentialKind({
  kind: 'http',
  typeName: 'HTTPCredential',
  description: 'A secret for all requests whose URL matches uriMatch.',
  apply: {
    by: 'authMethod',
    each: {
      HEADER: {
        alone: { put: 'HEADER', name: '{publicValue|Authorization}', value: '{secretValue}' },
        schemes: { API_KEY: '{secretValue}', SECRET: '{secretValue}' },
      },
      QUERY_PARAM: {
        alone: { put: 'QUERY', name: '{publicValue}', value: '{secretValue}' },
        schemes: { API_KEY: '{secretValue}', SECRET: '{secretValue}' },
      },
      BASIC_AUTH: {
        alone: { put: 'BASIC', user: '{publicValue}', password: '{secretValue}' },
        schemes: { BASIC_AUTH: { user: '{publicValue}', password: '{secretValue}' } },
      },
      CLIENT_CERTIFICATE: {
        alone: { put: 'CLIENT_CERTIFICATE', certificate: '{publicValue}', privateKey: '{secretValue}' },
        schemes: { CERTIFICATE: true },
      },
    },
    only: { urls: '{uriMatch}' },
  },
  destinations: ['uriMatch'],
  fields: {
    uriMatch: text({
      description:
        'The URLs that the secret may be sent to: a prefix or a pattern, including the scheme. Make it as narrow as possible. A new value must also replace secretValue.',
      minLength: 8,
      maxLength: 1024,
      format: 'urlPattern',
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
      formatBy: {
        setting: 'authMethod',
        formats: { HEADER: 'httpToken', QUERY_PARAM: 'line', BASIC_AUTH: 'userId', CLIENT_CERTIFICATE: 'pemCertificates' },
      },
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
      formatBy: {
        setting: 'authMethod',
        formats: { HEADER: 'headerValue', QUERY_PARAM: 'line', BASIC_AUTH: 'password', CLIENT_CERTIFICATE: 'pemPrivateKey' },
      },
      example: 'hs_5up3r-s3cr3t',
      invalidExample: 'hs_5up3r\u0000s3cr3t',
    }),
  },
  internalFacts: { isSecretEmpty: 'Whether the stored secret is empty, which only the password of Basic authentication can be.' },
  check({ settings, before, secrets, isSet, facts }) {
    const method = settings.authMethod;
    if (!method) return [];
    const { is, optional } = meanings[method];
    const issues = [];
    if (settings.publicValue === undefined) {
      if (!optional) issues.push({ path: ['publicValue'], message: `is required with ${method}: it is ${is}` });
    } else if (settings.publicValue === '' && method !== 'BASIC_AUTH') {
      issues.push({ path: ['publicValue'], message: 'must not be empty' });
    }
    const isEmpty = secrets.secretValue ? isEmptySecret(secrets.secretValue) : facts.isSecretEmpty === true;
    if (isEmpty && secrets.secretValue && method !== 'BASIC_AUTH')
      return [...issues, { path: ['secretValue'], message: 'must not be empty' }];
    if (isEmpty && settings.publicValue === '' && method === 'BASIC_AUTH')
      issues.push({ path: ['publicValue'], message: 'must not be empty if secretValue is empty' });
    if (before && before.authMethod !== method && isSet.secretValue && secrets.secretValue === undefined)
      issues.push({ path: ['secretValue'], message: 'must be set when authMethod changes: the stored value belongs to the old method' });
    return issues;
  },
  derive: ({ secrets }) => (secrets.secretValue ? { isSecretEmpty: isEmptySecret(secrets.secretValue) } : {}),
});
