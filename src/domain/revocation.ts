import { SUBJECT_MAX } from '../access/viewer.ts';
import { ValidationError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import { flag, type InputOf, instant, text } from '../fields/field.ts';
import type { RevocationRecord, Revoked } from '../store/revocation.ts';
import { revokeKeysOf } from './api-key.ts';
import { tokenLifetime } from './end-user-token.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { newEntry } from './records.ts';
import { type EndUserRef, requireEndUser } from './references.ts';
import { Checks } from './validation.ts';

/** How many subjects and end users of an organization can have a revocation at a time, approximately. All copies of the gateway hold them in memory. */
const REVOCATIONS_MAX = 20_000;
/** `before` may be in the future by the difference between two clocks. */
const AHEAD_MS = 5 * 60_000;
/** A revocation is kept longer than tokens can be valid, because clocks differ. */
const MARGIN_MS = 10 * 60_000;

const before = instant({
  optional: true,
  description:
    'Tokens that were issued before this time are refused. At most five minutes in the future. By default, all tokens that were issued so far, to the end of the current second. Tokens contain the time in whole seconds.',
});
/** The input of the revocation of an issuer's tokens. */
export const tokenRevocationFields = {
  subject: text({ description: 'The `sub` of the tokens.', maxLength: SUBJECT_MAX, format: 'any', comparedOnly: true }),
  before,
  apiKeys: flag({
    optional: true,
    default: false,
    clearable: false,
    description:
      'Also revokes the API keys that this subject created or rotated, also with another API key, before the time, or so far if no time is given, and the keys that were created with them. Also requires `apiKeys.delete`.',
  }),
};
/** The input of the revocation of an end user's tokens, except the end user. */
export const endUserTokenRevocationFields = { before };

/** A revocation that is in force. */
export interface Revocation {
  readonly id: string;
  readonly before: Date;
  /** The number of API keys that were revoked with the tokens. */
  readonly apiKeyCount: number;
}

/**
 * Revokes the issuer's tokens of a subject. A token without `iat` counts as issued before every time.
 * @throws ValidationError
 */
export async function revokeTokens(context: MutationContext, input: InputOf<typeof tokenRevocationFields>): Promise<Revocation> {
  const { store, policy, now } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(tokenRevocationFields, input));
  const time = await checks.run(() => timeOf(input.before instanceof Date ? input.before : null, now()));
  checks.end();
  const [{ subject, apiKeys }, before] = [valid!, time!];
  const revoke = async () => {
    const record = await write(context, { subject, endUserId: null }, null, before, policy.tokenLifetimeMs);
    if (!apiKeys) return { ...record, apiKeyCount: 0 };
    // A transaction that creates or rotates a key writes the same document, so no key is left over. Without a time in the input, each key that is
    // there now is revoked: a key can have been created after `before`, while this transaction waited, or by a copy whose clock is ahead.
    await store.organization.touch();
    return { ...record, apiKeyCount: await revokeKeysOf(context, subject, valid!.before ? before : null) };
  };
  const change = () => mutate(context, revoke, `${before.toISOString()}${apiKeys ? ' with API keys' : ''}: ${subject}`);
  const done = await (apiKeys ? context.revocations.revokeKeys(context, change) : change());
  context.revocations.add(done);
  return done;
}

/** Revokes the tokens of an end user. @throws ValidationError, NotFoundError */
export async function revokeEndUserTokens(
  context: MutationContext,
  { endUser: ref, ...input }: { readonly endUser: EndUserRef } & InputOf<typeof endUserTokenRevocationFields>,
): Promise<Revocation> {
  const checks = new Checks(context);
  await checks.run(() => checkInput(endUserTokenRevocationFields, input));
  const time = await checks.run(() => timeOf(input.before instanceof Date ? input.before : null, context.now()));
  let record: RevocationRecord | undefined;
  const revoke = async () => {
    const before = time!;
    const endUser = await requireEndUser(context, ref, ['endUser']);
    record = await write(context, { subject: null, endUserId: endUser.id }, endUser.integrationId, before, tokenLifetime.max * 1_000);
    return { id: endUser.id, before: record.before, apiKeyCount: 0 };
  };
  const findEndUser = () => requireEndUser(context, ref, ['endUser']);
  const done = await checks.thenMake(() => mutate(context, revoke, time!.toISOString()), [findEndUser]);
  context.revocations.add(record!);
  return done;
}

/** @throws ValidationError when the time is too far in the future */
function timeOf(given: Date | null, now: Date): Date {
  if (given === null) return new Date((Math.floor(now.getTime() / 1_000) + 1) * 1_000);
  if (given.getTime() > now.getTime() + AHEAD_MS) {
    throw new ValidationError([{ path: ['before'], message: 'must be at most five minutes in the future' }]);
  }
  return given;
}

/**
 * Writes a revocation and its notice, in the caller's transaction, and removes those that it replaces. A revocation never ends an earlier one:
 * if that is for a later time, it stays. Returns the revocation in force.
 */
async function write(
  context: MutationContext,
  whose: Revoked,
  integrationId: string | null,
  before: Date,
  lifetimeMs: number,
): Promise<RevocationRecord> {
  const { revocations } = context.store;
  const { now } = context;
  // An altered one is replaced.
  const earlier = await revocations.evenAltered.byIds(await revocations.ids(whose));
  const stronger = earlier.find((each) => !each.isAltered && each.before >= before);
  if (stronger) return stronger;
  if (earlier.length > 0) await revocations.remove({ id: earlier.map(({ id }) => id) });
  // This copy knows what the others have written until a moment ago, which is exact enough.
  else if (context.revocations.countOf(context.viewer.organizationId) >= REVOCATIONS_MAX) {
    const message = `cannot be added: the tokens of ${REVOCATIONS_MAX} subjects and end users of the organization are revoked`;
    throw new ValidationError([{ path: [], message }]);
  }
  const expiresAt = new Date(Math.max(before.getTime(), now().getTime()) + lifetimeMs + MARGIN_MS);
  const record = await revocations.insert({ ...newEntry(context), ...whose, integrationId, before, expiresAt });
  await revocations.announce(record.id, now());
  return record;
}
