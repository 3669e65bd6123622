import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const aws = defineCredentialKind({
  kind: 'aws',
  typeName: 'AWSCredential',
  description: 'A long-term access key of an AWS IAM user. Temporary access keys, which have a session token, are not supported.',
  fields: {
    accessKeyId: text({
      description: 'Not secret: requests contain it in plain text. Begins with AKIA.',
      minLength: 16,
      maxLength: 128,
      format: 'identifier',
      example: 'AKIAIOSFODNN7EXAMPLE',
      invalidExample: 'AKIA',
    }),
    secretAccessKey: secret({
      description: 'The key that signs requests.',
      maxLength: 4096,
      format: 'token',
      example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      invalidExample: '',
    }),
    region: text({
      description: 'The code of the region, not its name in the AWS console.',
      maxLength: 64,
      format: 'reference',
      example: 'eu-central-1',
      invalidExample: 'Europe (Frankfurt)',
    }),
  },
});
