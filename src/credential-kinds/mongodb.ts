import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const mongodb = defineCredentialKind({
  kind: 'mongodb',
  typeName: 'MongoDBCredential',
  description: 'A connection string of a MongoDB deployment. The whole string is secret because it contains the password.',
  apply: { alone: { not: 'FOR_REQUESTS', purpose: 'a connection to a MongoDB deployment' } },
  fields: {
    connectionUri: secret({
      description: 'The connection string, including user name and password, both percent-encoded.',
      maxLength: 2048,
      format: 'mongodbUri',
      example: 'mongodb+srv://ada:s3cret@cluster0.example.net/app',
      invalidExample: 'cluster0.example.net',
    }),
  },
});
