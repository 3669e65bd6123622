import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const aws = defineCredentialKind({
  kind: 'aws',
  typeName: 'AWSCredential',
  description: 'An access key of AWS: a long-term key of an IAM user, or a temporary key with its session token.',
  apply: {
    alone: {
      put: 'AWS_SIGNATURE',
      parts: {
        accessKeyId: '{accessKeyId}',
        secretAccessKey: '{secretAccessKey}',
        sessionToken: '{sessionToken|}',
        region: '{region}',
        service: '{service|}',
      },
    },
  },
  fields: {
    accessKeyId: text({
      searchable: true,
      description: 'Not secret: requests contain it in plain text. A long-term key begins with AKIA, a temporary key with ASIA.',
      minLength: 16,
      maxLength: 128,
      format: 'identifier',
      example: 'ASIAIOSFODNN7EXAMPLE',
      invalidExample: 'ASIA',
    }),
    secretAccessKey: secret({
      description: 'The key that signs requests.',
      maxLength: 4096,
      format: 'token',
      example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      invalidExample: '',
    }),
    sessionToken: secret({
      description:
        'The session token of a temporary key. Required with it, and must be cleared when a long-term key replaces it. The key expires: set `expiresAt`.',
      maxLength: 16_384,
      format: 'token',
      optional: true,
      example: 'IQoJb3JpZ2luX2VjEXAMPLETOKEN',
      invalidExample: '',
    }),
    region: text({
      searchable: true,
      description: 'The code of the region, not its name in the AWS console.',
      maxLength: 64,
      format: 'reference',
      example: 'eu-central-1',
      invalidExample: 'Europe (Frankfurt)',
    }),
    service: text({
      description:
        'The service that requests are signed for, as its name stands in the signature. By default, the host tells: set this for a host of your own, such as `execute-api` for the domain of an API.',
      maxLength: 64,
      format: 'reference',
      optional: true,
      example: 'execute-api',
      invalidExample: 'API Gateway!',
    }),
  },
  check({ settings, before, isSet }) {
    // The prefixes are those of the IAM User Guide, "IAM identifiers". A temporary key is refused by AWS without its token.
    const key = settings.accessKeyId ?? '';
    if (key.startsWith('ASIA') && !isSet.sessionToken) {
      const isCleared = before?.accessKeyId === key;
      return [
        {
          path: ['sessionToken'],
          message: `${isCleared ? 'cannot be cleared' : 'is required'} with a temporary access key, which begins with ASIA`,
        },
      ];
    }
    if (key.startsWith('AKIA') && isSet.sessionToken)
      return [{ path: ['sessionToken'], message: 'must not be set with a long-term access key, which begins with AKIA' }];
    return [];
  },
});
