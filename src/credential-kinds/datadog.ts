import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const datadog = defineCredentialKind({
  kind: 'datadog',
  typeName: 'DatadogCredential',
  description: 'An API key of a Datadog organization, for sending data to it. Not an application key, which is for reading.',
  apply: {
    alone: { put: 'HEADER', name: 'DD-API-KEY', value: '{secretValue}' },
    schemes: { API_KEY: '{secretValue}', SECRET: '{secretValue}' },
    // The hosts of a site are the site itself and those below it, such as `api.` and `http-intake.logs.`.
    only: { hosts: ['{site|datadoghq.com}', '*.{site|datadoghq.com}'] },
  },
  destinations: ['site'],
  fields: {
    site: text({
      searchable: true,
      description: 'The Datadog site of the organization. Null means datadoghq.com. A new value must also replace secretValue.',
      maxLength: 253,
      format: 'hostname',
      optional: true,
      example: 'datadoghq.eu',
      invalidExample: 'https://datadoghq.eu',
    }),
    secretValue: secret({ description: 'The API key.', maxLength: 4096, format: 'token', example: 'dd0example0key', invalidExample: '' }),
  },
});
