import { confinedScopes } from '../access/scopes.ts';
import type { APIKeyParts } from '../access/tokens.ts';
import type { Viewer } from '../access/viewer.ts';
import { NotFoundError, UnauthenticatedError, ValidationError } from '../errors.ts';
import { checkInput, refuseUnknown } from '../fields/check.ts';
import { type InputOf, instant, integer, text } from '../fields/field.ts';
import { Redacted } from '../redacted.ts';
import { type APIKeyRecord, acceptedAs, endOf, type Receiver } from '../store/api-key.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { type FieldsIn, nameText } from './fields.ts';
import { checkGrantable, requireGrant } from './grant.ts';
import { type MutationContext, mutate, recordAlso } from './mutate.ts';
import { actorOf, type EvenAltered, expectVersion, newRecord, orNameTaken, readsOf, required, type Target } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { wasIssuedSince } from './revocation-list.ts';
import { Checks, refusePast } from './validation.ts';

export { endOf };

const UNKNOWN_KEY = 'The API key is unknown, revoked or expired.';

/** The fields of an API key that callers write, except its scopes. */
export const apiKeyFields = {
  name: text({ ...nameText, description: 'Unique within the organization.' }),
  expiresAt: instant({
    optional: true,
    description:
      'The key is refused from this time on. Null if it does not expire. If the gateway limits the lifetime of keys, or another API key creates it, it is at most that limit and the expiry of that key, and these by default.',
  }),
} satisfies FieldsIn<APIKeyRecord>;
/** For how long a replaced key is still accepted. */
export const overlapSeconds = integer({
  optional: true,
  default: 0,
  min: 0,
  max: 7 * 24 * 60 * 60,
  description: 'For how many seconds the old key is still accepted. Use 0 for a leaked key.',
});

export type APIKeyInput = InputOf<typeof apiKeyFields> & {
  readonly scopes: readonly string[];
  readonly integration?: IntegrationRef | null;
};

/** A new key. It is shown once. */
export interface IssuedAPIKey {
  readonly apiKey: APIKeyRecord;
  readonly key: Redacted;
}

/** The maximum number of API keys of which each created the next one. */
const GENERATIONS_MAX = 8;

/**
 * Creates an API key. It can grant only scopes that the viewer has. A key that is created with an API key ends with that one.
 * @throws ValidationError, ForbiddenError, InvalidIntegrationError, ConflictError, UnauthenticatedError
 */
export async function createAPIKey(context: MutationContext, input: APIKeyInput): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const { scopes: wanted, integration: ref, ...given } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(apiKeyFields, given));
  await checks.run(() => refusePast(given.expiresAt, now()));
  const grantable = await checks.run(() => checkGrantable(wanted, ref ? confinedScopes.integration : null, ['scopes']));
  if (valid && grantable) requireGrant(viewer, grantable);
  const issue = async () => {
    const [checked, scopes] = [valid!, grantable!];
    const { own: parent, receivers } = await requireUnrevoked(context);
    const ancestors = parent ? [parent.id, ...(parent.ancestors ?? [])] : [];
    if (ancestors.length >= GENERATIONS_MAX) {
      const message = `cannot be created with this API key, which is the last of ${GENERATIONS_MAX} that were created one with the other`;
      throw new ValidationError([{ path: [], message }]);
    }
    const base = newRecord(context);
    const expiresAt = expiryOf(context, checked.expiresAt, base.createdAt, parent);
    const integration = ref && (await requireIntegration(context, ref, ['integration']));
    // A deletion of the integration or the organization writes the same documents, so no key can be left over.
    if (integration) await store.slots.attach(integration.id);
    await store.organization.touch();
    const creator = { createdByKind: viewer.kind, createdBySubject: viewer.subject, ancestors, receivers };
    const record = { ...base, ...checked, ...creator, expiresAt, scopes, integrationId: integration?.id ?? null, lastUsedAt: null };
    const [apiKey, key] = await orNameTaken('API key', 'organization', () => store.apiKeys.issue(record));
    return { id: apiKey.id, apiKey, key };
  };
  const give = () => context.revocations.giveKey(context, () => mutate(context, issue));
  return checks.thenMake(give, [() => ref && requireIntegration(context, ref, ['integration'])]);
}

/** Returns when a new key expires. @throws ValidationError when that is later than is allowed */
function expiryOf({ policy }: MutationContext, wanted: Date | null, createdAt: Date, parent: APIKeyRecord | null): Date | null {
  const { apiKeyLifetimeMs } = policy;
  const limits = [
    [endOf({ createdAt, expiresAt: null }, apiKeyLifetimeMs), 'must not be later than the longest lifetime of API keys allows'],
    [parent && endOf(parent, apiKeyLifetimeMs), 'must not be later than the expiry of the API key that creates it'],
  ] as const;
  const exceeded = limits.find(([limit]) => limit && wanted && wanted > limit);
  if (exceeded) throw new ValidationError([{ path: ['expiresAt'], message: exceeded[1] }]);
  const times = [wanted, ...limits.map(([limit]) => limit)].flatMap((time) => time?.getTime() ?? []);
  return times.length > 0 ? new Date(Math.min(...times)) : null;
}

/**
 * Checks, in the transaction that gives a viewer a key, that the viewer was not revoked in the meantime, and writes a document that revoking
 * writes too. So a key that a revoked viewer receives at the same time does not remain. Returns the viewer's own key if it is an API key, and
 * who receives the new one: the subject of a token, or whoever received the API key that was presented. So nobody can hide who has a key by
 * replacing it with itself.
 *
 * @throws UnauthenticatedError
 */
async function requireUnrevoked({
  store,
  viewer,
  now,
}: MutationContext): Promise<{ readonly own: APIKeyRecord | null; readonly receivers: readonly Receiver[] }> {
  const { kind, subject, issuedAt, keyHash = '' } = viewer;
  if (kind === 'apiKey') {
    const own = await store.apiKeys.one({ id: subject });
    // It can have been replaced, or its overlap ended, since the request was authenticated.
    const accepted = own && acceptedAs(own, keyHash, now());
    if (!accepted || !(await store.apiKeys.touch(subject))) throw new UnauthenticatedError(UNKNOWN_KEY);
    const receivers = (accepted === 'present' ? own.receivers : own.previousReceivers) ?? [];
    return { own, receivers };
  }
  if (kind === 'token') {
    await store.organization.touch();
    const revokedBefore = await store.revocations.latest({ subject, endUserId: null });
    if (revokedBefore && !wasIssuedSince(issuedAt, revokedBefore.getTime())) throw new UnauthenticatedError('The token has been revoked.');
  }
  return { own: null, receivers: kind === 'token' ? [{ subject, at: now() }] : [] };
}

/**
 * Replaces the key. The old one is accepted for `overlapSeconds` more. The viewer receives the new key, and so must have the scopes that it
 * grants. An API key can replace only itself and keys that were created with it: another one would stay valid after it is revoked.
 *
 * @throws ValidationError, ForbiddenError, NotFoundError, ConflictError, UnauthenticatedError
 */
export async function rotateAPIKey(
  context: MutationContext,
  { apiKey: id, expectedVersion, ...given }: Target<'apiKey', string> & { readonly overlapSeconds?: number | null },
): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput({ overlapSeconds }, given));
  const reissue = async () => {
    const record = await requireAPIKey(context, id);
    expectVersion(record, expectedVersion);
    requireGrant(viewer, record.scopes);
    if (viewer.kind === 'apiKey' && viewer.subject !== id && !record.ancestors?.includes(viewer.subject)) {
      throw new ValidationError([{ path: ['apiKey'], message: 'must be the API key of the viewer, or one that was created with it' }]);
    }
    const { receivers } = await requireUnrevoked(context);
    const updatedAt = now();
    const previousUntil = new Date(updatedAt.getTime() + valid!.overlapSeconds * 1_000);
    const [apiKey, key] = await store.apiKeys.reissue(record, previousUntil, { updatedAt, updatedBy: actorOf(context) }, receivers);
    return { id, apiKey, key };
  };
  const give = () => context.revocations.giveKey(context, () => mutate(context, reissue));
  return checks.thenMake(give, [() => requireAPIKey(context, id)]);
}

/** Revokes an API key, and all keys that were created with it: they are refused from now on. @throws NotFoundError, ConflictError */
export async function revokeAPIKey(
  context: MutationContext,
  { apiKey: id, expectedVersion, ...rest }: Target<'apiKey', string>,
): Promise<string> {
  refuseUnknown(rest);
  const revoke = async () => {
    expectVersion(await requireAPIKey(context, id, 'evenAltered'), expectedVersion);
    await removeKeys(context, [id], { noun: 'apiKey', id });
    return id;
  };
  return context.revocations.revokeKeys(context, () => mutate(context, revoke));
}

/**
 * Deletes keys and all keys that were created with them, with an audit entry for each except the object of the mutation. Returns their number.
 */
async function removeKeys(
  context: MutationContext,
  ids: readonly string[],
  object: { noun: 'apiKey'; id: string } | null,
): Promise<number> {
  const { store } = context;
  if (ids.length === 0) return 0;
  const all = [...new Set([...(await store.apiKeys.ids({ id: ids })), ...(await store.apiKeys.ids({ ancestors: ids }))])];
  await recordAlso(context, { action: 'revokeAPIKey', noun: 'apiKey', ids: all.filter((id) => id !== object?.id) }, object);
  // A transaction that creates a key with one of these writes that one, so if both run at once, one of them is repeated.
  return (await store.apiKeys.remove({ id: ids })) + (await store.apiKeys.remove({ ancestors: ids }));
}

/**
 * Revokes the keys that a subject of the issuer's tokens created or received before a time, or until now if it is null, in the caller's transaction. Of a key that somebody
 * else has replaced since, only the old one is revoked. Returns their number. Altered keys are revoked too, whatever they say: they are not
 * accepted, and must not prevent the revocation of others.
 */
export async function revokeKeysOf(context: MutationContext, subject: string, before: Date | null): Promise<number> {
  const { store, now } = context;
  const created = await store.apiKeys.ids({ createdByKind: 'token', createdBySubject: subject, ...(before && { createdBefore: before }) });
  const isBefore = ({ at }: Receiver) => before === null || at < before;
  const has = (receivers: readonly Receiver[] = []) => receivers.some((each) => each.subject === subject && isBefore(each));
  const received = await store.apiKeys.receivedBy(subject);
  const isRemoved = ({ id, isAltered, receivers }: APIKeyRecord) => isAltered || has(receivers) || created.includes(id);
  const replaced = received.filter((key) => !isRemoved(key) && has(key.previousReceivers));
  const removed = await removeKeys(context, [...new Set([...created, ...received.filter(isRemoved).map(({ id }) => id)])], null);
  const ended: string[] = [];
  for (const { id } of replaced) {
    // It can have been removed with the key that created it.
    const key = await store.apiKeys.evenAltered.one({ id });
    if (!key || key.isAltered) continue;
    await store.apiKeys.endOverlap(key, { updatedAt: now(), updatedBy: actorOf(context) });
    if (key.previousUntil && key.previousUntil > now()) ended.push(id);
  }
  await recordAlso(context, { action: 'revokeAPIKey', noun: 'apiKey', ids: ended, note: 'only the replaced key' }, null);
  return removed + ended.length;
}

export function findAPIKey({ store }: DomainContext, id: string, altered?: EvenAltered): Promise<APIKeyRecord | null> {
  return readsOf(store.apiKeys, altered).one({ id });
}

async function requireAPIKey(context: DomainContext, id: string, altered?: EvenAltered): Promise<APIKeyRecord> {
  return required(await findAPIKey(context, id, altered), new NotFoundError('API key', ['apiKey']));
}

/** Returns the viewer of an API key. @throws UnauthenticatedError when the key does not exist or has expired, with the same message */
export async function authenticateAPIKey(
  { stores, now, policy, revocations }: GatewayContext,
  { organizationId, id, secret }: APIKeyParts,
): Promise<Viewer> {
  const record = await stores.of(organizationId).apiKeys.verify(id, new Redacted(secret), now(), policy.apiKeyLifetimeMs);
  if (!record) throw new UnauthenticatedError(UNKNOWN_KEY);
  const { scopes, integrationId, keyHash } = record;
  const viewer = { organizationId, kind: 'apiKey', subject: id, scopes: new Set(scopes), keyHash } as const;
  revocations.refuseRevoked(viewer);
  return integrationId === null ? viewer : { ...viewer, confinedTo: { integrationId } };
}
