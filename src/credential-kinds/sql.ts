import { type Choices, choice, flag, integer, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { exampleCertificate } from './examples-pem.ts';

const sqlSystem = {
  enumName: 'SQLSystem',
  description: 'The type of the database server.',
  values: { MSSQL: 'Microsoft SQL Server.', MYSQL: 'MySQL or MariaDB.', PG: 'PostgreSQL.' },
} as const satisfies Choices;

export const sql = defineCredentialKind({
  kind: 'sql',
  typeName: 'SQLCredential',
  description:
    'A login to a relational database server. The connection defines which database on the server. For Snowflake, use SnowflakeCredential.',
  apply: { alone: { not: 'FOR_REQUESTS', purpose: 'a login to a relational database' } },
  destinations: ['host', 'port', 'secureConnection', 'caCertificate', 'disableSSLVerification'],
  fields: {
    system: choice({ description: 'The type of the database server.', choices: sqlSystem, example: 'PG', invalidExample: 'ORACLE' }),
    host: text({
      searchable: true,
      description:
        'The hostname or IP address of the server, without port. A new value of this or of the other settings of the connection must also replace password.',
      maxLength: 253,
      format: 'host',
      example: 'db.example.com',
      invalidExample: 'db.example.com:5432',
    }),
    port: integer({
      description: 'Null means the default port of the system: 1433, 3306 or 5432.',
      min: 1,
      max: 65_535,
      optional: true,
      example: 5432,
      invalidExample: 0,
    }),
    username: text({ description: 'Not secret.', maxLength: 255, example: 'reporting', invalidExample: '' }),
    password: secret({
      description: 'The password of the user.',
      maxLength: 4096,
      format: 'password',
      example: 'pg-pass-Word1',
      invalidExample: '',
    }),
    secureConnection: flag({
      description: 'Whether to connect over TLS. If null, the client decides.',
      optional: true,
      example: true,
      invalidExample: 'true',
    }),
    caCertificate: text({
      description:
        'Not secret. The certificate authorities, in PEM, that are trusted to sign the server’s certificate. Null means the public authorities.',
      maxLength: 65_536,
      format: 'pemCertificates',
      optional: true,
      example: exampleCertificate,
      invalidExample: 'Example CA',
    }),
    disableSSLVerification: flag({
      description:
        'Whether any server certificate is accepted. If true, TLS does not protect against a server that impersonates the real one. Null means false.',
      optional: true,
      example: false,
      invalidExample: 0,
    }),
  },
});
