import { type Choices, choice, flag, integer, secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';
import { exampleCertificate } from './examples-pem.ts';

const sqlSystem = {
  enumName: 'SQLSystem',
  description: 'Which database server it is.',
  values: { MSSQL: 'Microsoft SQL Server.', MYSQL: 'MySQL or MariaDB.', PG: 'PostgreSQL.' },
} as const satisfies Choices;

export const sql = defineCredentialKind({
  kind: 'sql',
  typeName: 'SQLCredential',
  description:
    'A login to a relational database. Which database on the server is for the connection to say. For Snowflake: SnowflakeCredential.',
  fields: {
    system: choice({ description: 'Which database server it is.', choices: sqlSystem, example: 'PG', invalidExample: 'ORACLE' }),
    host: text({
      description: 'Where the server is, without port.',
      maxLength: 253,
      format: 'host',
      example: 'db.example.com',
      invalidExample: 'db.example.com:5432',
    }),
    port: integer({
      description: 'Null means the system’s usual one: 1433, 3306 or 5432.',
      min: 1,
      max: 65_535,
      optional: true,
      example: 5432,
      invalidExample: 0,
    }),
    username: text({ description: 'Readable. The login.', maxLength: 255, example: 'reporting', invalidExample: '' }),
    password: secret({ description: 'The password of the login.', maxLength: 4096, example: 'pg-pass-Word1', invalidExample: '' }),
    secureConnection: flag({
      description: 'Whether to connect over TLS. Null means that the client decides.',
      optional: true,
      example: true,
      invalidExample: 'true',
    }),
    caCertificate: text({
      description: 'Readable. The authorities in PEM against which the server’s certificate is checked. Null means the public ones.',
      maxLength: 65_536,
      format: 'pemCertificates',
      optional: true,
      example: exampleCertificate,
      invalidExample: 'Example CA',
    }),
    disableSSLVerification: flag({
      description: 'Whether any certificate is accepted from the server: then TLS keeps out readers, not impostors. Null means no.',
      optional: true,
      example: false,
      invalidExample: 0,
    }),
  },
});
