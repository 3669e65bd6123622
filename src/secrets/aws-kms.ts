import type { KMSClient } from '@aws-sdk/client-kms';
import { type DataKeyPlace, type MasterKey, MasterKeyError, MasterKeyUnavailableError } from './key-provider.ts';

/** The ARN of a key. The ARN of an alias is not accepted: an alias can be moved to another key, which could not unwrap data keys. */
const arnPattern = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key\/[A-Za-z0-9-]+$/;
const PREFIX = 'aws-kms';

export interface AwsKmsOptions {
  /** The timeout of one call, in milliseconds. */
  readonly timeoutMilliseconds?: number;
  /** The maximum number of attempts when AWS is busy or does not respond. */
  readonly attempts?: number;
}

/** Returns whether the text is the ARN of a key in AWS KMS. */
export function isAwsKmsKeyArn(text: string): boolean {
  return arnPattern.test(text);
}

/**
 * Returns a master key that never leaves AWS KMS: data keys are sent there to be wrapped and unwrapped. The encryption context names the
 * organization, the data key and its purpose, so that a wrapped key cannot be unwrapped for another place or purpose, and AWS's log shows whose
 * key was unwrapped.
 * AWS's SDK finds the credentials and the endpoint; it is loaded on first use.
 *
 * Wrapped keys are stored as `aws-kms.ARN.CIPHERTEXT`, both in base64url.
 *
 * @throws RangeError when the text is not the ARN of a key
 */
export function awsKmsMasterKey(arn: string, { timeoutMilliseconds = 3_000, attempts = 3 }: AwsKmsOptions = {}): MasterKey {
  const region = arnPattern.exec(arn)?.[1];
  if (region === undefined) throw new RangeError('A master key in AWS KMS must be the ARN of a symmetric key, not of an alias.');
  const start = `${PREFIX}.${Buffer.from(arn).toString('base64url')}.`;

  let loading: Promise<{ sdk: typeof import('@aws-sdk/client-kms'); client: KMSClient }> | undefined;
  const load = () => {
    loading ??= import('@aws-sdk/client-kms').then((sdk) => {
      const requestHandler = {
        connectionTimeout: timeoutMilliseconds,
        requestTimeout: timeoutMilliseconds,
        throwOnRequestTimeout: true,
      };
      return { sdk, client: new sdk.KMSClient({ region, maxAttempts: attempts, requestHandler }) };
    });
    return loading;
  };

  return {
    owns: (wrapped) => wrapped.startsWith(start),
    async wrap(dataKey, place) {
      const { sdk, client } = await load();
      const answer = await explaining('wrap', () =>
        client.send(new sdk.EncryptCommand({ KeyId: arn, Plaintext: dataKey, EncryptionContext: contextOf(place) })),
      );
      return start + Buffer.from(answer.CiphertextBlob!).toString('base64url');
    },
    async unwrap(wrapped, place) {
      const { sdk, client } = await load();
      const CiphertextBlob = Buffer.from(wrapped.slice(start.length), 'base64url');
      const answer = await explaining('unwrap', () =>
        client.send(new sdk.DecryptCommand({ KeyId: arn, CiphertextBlob, EncryptionContext: contextOf(place) })),
      );
      return answer.Plaintext!;
    },
  };
}

function contextOf({ organizationId, keyId, purpose }: DataKeyPlace): Record<string, string> {
  return { organization: organizationId, keyId, ...(purpose !== null && { purpose }) };
}

/** Maps the names of AWS errors to remedies. */
const remedies: Readonly<Record<string, string>> = {
  AccessDeniedException: 'grant kms:Encrypt and kms:Decrypt on the key to the credentials in use',
  CredentialsProviderError: 'provide AWS credentials where AWS’s SDK can find them',
  DisabledException: 'the key is disabled: enable it',
  ExpiredTokenException: 'the AWS credentials have expired: renew them',
  KMSInvalidStateException: 'the key is being deleted or is not ready: restore it',
  NotFoundException: 'there is no such key in that account and region',
  UnrecognizedClientException: 'the AWS credentials are not valid: renew them',
};

interface AwsError {
  readonly name: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const networkErrors = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'];

/** Returns whether the error is temporary, so that the same call may succeed later. */
function isPassing({ name, code, $metadata }: AwsError): boolean {
  const status = $metadata?.httpStatusCode ?? 0;
  return status === 429 || status >= 500 || /Throttl|Timeout/.test(name) || networkErrors.includes(code ?? '');
}

/** Replaces AWS's errors by our own. Only the name of AWS's error is repeated, because the rest may contain secrets. */
async function explaining<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    const error = thrown as AwsError;
    if (error.name === 'InvalidCiphertextException') throw new Error('The wrapped data key was changed or belongs to another place.');
    if (isPassing(error)) throw new MasterKeyUnavailableError(`AWS KMS cannot ${what} data keys at the moment (${error.name}); try again.`);
    const remedy = remedies[error.name] ?? 'see the key in the AWS console';
    throw new MasterKeyError(`AWS KMS refused to ${what} a data key (${error.name}): ${remedy}.`);
  }
}
