import { keyPlaceholder } from '../placeholders.ts';
import { isAwsKmsKeyArn } from '../secrets/aws-kms.ts';
import { KEY_BYTES } from '../secrets/key-provider.ts';
import type { MasterKeySource } from './options.ts';

/** How to create a key, or a secret of the same size. */
export const HOW_TO_CREATE = 'To create one, run: openssl rand -base64 32.';

/**
 * Returns what is wrong with master keys, as what follows their name and a colon; undefined if the gateway can use them. There must be one, and each must be 32 bytes or the ARN
 * of a key in AWS KMS. The first one, which wraps, must not be a placeholder; the others may be, so that it can be replaced.
 */
export function masterKeyProblem(masterKeys: readonly MasterKeySource[]): string | undefined {
  const [first] = masterKeys;
  if (!first) return `there is no key. ${HOW_TO_CREATE}`;
  for (const [index, key] of masterKeys.entries()) {
    const problem = formProblem(key);
    if (problem) return `key ${index + 1} ${problem}`;
  }
  const reason = first instanceof Uint8Array ? keyPlaceholder(first) : undefined;
  if (!reason) return undefined;
  return `the first key is a placeholder: it ${reason}. ${HOW_TO_CREATE} If secrets are already stored, keep the old key in second place and rewrap the data keys: credential-gateway keys rewrap. The README says under "A leaked master key" what else to do.`;
}

function formProblem(key: MasterKeySource): string | undefined {
  if (key instanceof Uint8Array)
    return key.length === KEY_BYTES
      ? undefined
      : `must be ${KEY_BYTES} bytes, in settings as base64, or aws-kms: and the ARN of a key in AWS KMS. ${HOW_TO_CREATE}`;
  if (isAwsKmsKeyArn(key.awsKmsKeyArn)) return undefined;
  return 'must be the ARN of a key in AWS KMS, arn:aws:kms:REGION:ACCOUNT:key/ID. The ARN of an alias is not accepted.';
}
