import { type Choices, choice, secret, text } from '../fields/field.ts';
import { type Format, formats } from '../fields/formats.ts';
import { type CredentialKind, defineCredentialKind } from './define.ts';

const authMethod = {
  enumName: 'HTTPAuthMethod',
  description: 'Where in a request the secret goes.',
  values: {
    HEADER: 'Into the header that publicValue names; Authorization when it names none.',
    QUERY_PARAM: 'Into the query parameter that publicValue names.',
    BASIC_AUTH: 'Into Basic authentication, with publicValue as the user name.',
    CLIENT_CERTIFICATE: 'Into the TLS handshake: publicValue is the certificate and secretValue its private key, both in PEM.',
  },
} as const satisfies Choices;

/** What `publicValue` is for each method. */
const publicValue: Record<keyof typeof authMethod.values, { readonly is: string; readonly format: Format; readonly optional?: boolean }> = {
  HEADER: { is: 'the header’s name', format: 'httpToken', optional: true },
  QUERY_PARAM: { is: 'the parameter’s name', format: 'line' },
  BASIC_AUTH: { is: 'the user name', format: 'userId' },
  CLIENT_CERTIFICATE: { is: 'the certificate in PEM', format: 'pemCertificates' },
};

export const http: CredentialKind = defineCredentialKind({
  kind: 'http',
  typeName: 'HTTPCredential',
  description: 'A secret for all requests whose URL matches, put where authMethod says.',
  fields: {
    uriMatch: text({
      description: 'Which URLs the secret may be sent to: a prefix or pattern, scheme included. The narrower, the safer.',
      minLength: 8,
      maxLength: 1024,
      example: 'https://api.example.com/*',
      invalidExample: 'http://',
    }),
    authMethod: choice({
      description: 'Where in a request the secret goes. Whoever changes it gives secretValue too.',
      choices: authMethod,
      example: 'HEADER',
      invalidExample: 'COOKIE',
    }),
    publicValue: text({
      description:
        'Readable. What goes with the secret, by authMethod: the header’s or parameter’s name, the user name, or the certificate.',
      maxLength: 32_768,
      format: 'multiline',
      optional: true,
      example: 'X-Api-Key',
      invalidExample: '',
    }),
    secretValue: secret({
      description: 'What stays secret, by authMethod: the header’s or parameter’s value, the password, or the private key.',
      maxLength: 16_384,
      example: 'hs_5up3r-s3cr3t',
      invalidExample: '',
    }),
  },
  check({ settings, before, secrets, isSet }) {
    const method = settings.authMethod;
    if (!method) return [];
    const { is, format, optional } = publicValue[method];
    const issues = [];
    if (settings.publicValue === undefined) {
      if (!optional) issues.push({ path: ['publicValue'], message: `is required with ${method}: ${is}` });
    } else if (!formats[format].accepts(settings.publicValue)) {
      issues.push({ path: ['publicValue'], message: `is ${is} with ${method}, and ${formats[format].message}` });
    }
    if (
      secrets.secretValue !== undefined &&
      method === 'CLIENT_CERTIFICATE' &&
      !formats.pemPrivateKey.accepts(secrets.secretValue.expose())
    )
      issues.push({ path: ['secretValue'], message: `is the certificate’s key with ${method}, and ${formats.pemPrivateKey.message}` });
    if (before && before.authMethod !== method && isSet.secretValue && secrets.secretValue === undefined)
      issues.push({ path: ['secretValue'], message: 'must be given when authMethod changes: the stored one belongs to the other method' });
    return issues;
  },
});
