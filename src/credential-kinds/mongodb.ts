import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const mongodb = defineCredentialKind({
  kind: 'mongodb',
  typeName: 'MongoDBCredential',
  description: 'A connection string of a MongoDB deployment. All of it is secret, for the password stands in its middle.',
  fields: {
    connectionUri: secret({
      description: 'The string, user name and password included, those percent-encoded.',
      maxLength: 2048,
      format: 'mongodbUri',
      example: 'mongodb+srv://ada:s3cret@cluster0.example.net/app',
      invalidExample: 'cluster0.example.net',
    }),
  },
});
