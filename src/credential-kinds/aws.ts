import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const aws = defineCredentialKind({
  kind: 'aws',
  typeName: 'AWSCredential',
  description: 'A long-lived access key of an AWS IAM user. Temporary ones, with a session token, do not fit: they would expire here.',
  fields: {
    accessKeyId: text({
      description: 'Readable: requests carry it in clear. Begins with AKIA.',
      minLength: 16,
      maxLength: 128,
      example: 'AKIAIOSFODNN7EXAMPLE',
      invalidExample: 'AKIA',
    }),
    secretAccessKey: secret({
      description: 'The key that signs requests.',
      maxLength: 4096,
      example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      invalidExample: '',
    }),
    region: text({
      description: 'The region’s code, not its name on the console.',
      maxLength: 64,
      format: 'reference',
      example: 'eu-central-1',
      invalidExample: 'Europe (Frankfurt)',
    }),
  },
});
