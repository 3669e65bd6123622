import { NotFoundError, ValidationError } from '../errors.ts';
import { refuseUnknown } from '../fields/check.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { findCredential } from './credential.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, required, type Target } from './records.ts';
import { kindsWithTokens } from './token-facts.ts';
import { isRefreshed } from './token-source.ts';
import { Checks } from './validation.ts';

/**
 * Refreshes the tokens of a credential, or obtains a new one, though the old one may be valid. If that was done a moment ago, it does nothing. The entry in the
 * audit log is committed before anything is sent. Returns the credential, whose version stays.
 *
 * @throws ValidationError when its kind has no tokens, or it has no refresh token
 * @throws NotFoundError, ConflictError, CredentialNotUsableError, ServiceFailedError, UnreadableSecretError
 */
export async function refreshCredential(
  context: MutationContext,
  { credential: id, expectedVersion, ...rest }: Target<'credential', string>,
): Promise<CredentialRecord> {
  const checks = new Checks(context);
  await checks.run(() => refuseUnknown(rest));
  const missing = new NotFoundError('credential', ['credential']);
  const check = async () => {
    const record = required(await findCredential(context, id), missing);
    expectVersion(record, expectedVersion);
    const refuse = (message: string) => new ValidationError([{ path: ['credential'], message }]);
    if (!kindsWithTokens.has(record.kind)) throw refuse('is of a kind for which the gateway obtains no tokens');
    if (isRefreshed(record) && !('refreshToken' in record.secrets))
      throw refuse('has no refresh token: a person must consent again (startAuthorization with the connection)');
    return record;
  };
  const record = await checks.thenMake(() => mutate(context, check), [check]);
  await context.tokens.renew(context, record);
  return required(await findCredential(context, id), missing);
}
