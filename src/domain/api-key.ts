import { confinedScopes } from '../access/scopes.ts';
import type { APIKeyParts } from '../access/tokens.ts';
import type { Viewer } from '../access/viewer.ts';
import { NotFoundError, UnauthenticatedError } from '../errors.ts';
import { checkInput, refuseUnknown } from '../fields/check.ts';
import { type InputOf, instant, integer, text } from '../fields/field.ts';
import { Redacted } from '../redacted.ts';
import type { APIKeyRecord } from '../store/api-key.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { type FieldsIn, nameText } from './fields.ts';
import { checkGrant, requireGrant } from './grant.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { type EvenAltered, expectVersion, newRecord, orNameTaken, readsOf, required, type Target } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { refusePast } from './validation.ts';

/** The fields of an API key that callers write, except its scopes. */
export const apiKeyFields = {
  name: text({ ...nameText, description: 'Unique within the organization.' }),
  expiresAt: instant({ optional: true, description: 'The key is refused from this time on. Null if it does not expire.' }),
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

/** Creates an API key. It can grant only scopes that the viewer has. @throws ValidationError, ForbiddenError, InvalidIntegrationError, ConflictError */
export async function createAPIKey(context: MutationContext, input: APIKeyInput): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const { scopes: wanted, integration: ref, ...given } = input;
  const checked = checkInput(apiKeyFields, given);
  refusePast(checked.expiresAt, now());
  const scopes = checkGrant(viewer, wanted, ref ? confinedScopes.integration : null, ['scopes']);
  const issue = async () => {
    const integration = ref && (await requireIntegration(context, ref, ['integration']));
    // A deletion of the integration or the organization writes the same documents, so no key can be left over.
    if (integration) await store.slots.attach(integration.id);
    await store.organization.touch();
    const record = { ...newRecord(context), ...checked, scopes, integrationId: integration?.id ?? null, lastUsedAt: null };
    const [apiKey, key] = await orNameTaken('API key', 'organization', () => store.apiKeys.issue(record));
    return { id: apiKey.id, apiKey, key };
  };
  return mutate(context, issue);
}

/**
 * Replaces the key. The old one is accepted for `overlapSeconds` more. The viewer receives the new key, and so must have the scopes that it
 * grants.
 *
 * @throws ValidationError, ForbiddenError, NotFoundError, ConflictError
 */
export async function rotateAPIKey(
  context: MutationContext,
  { apiKey: id, expectedVersion, ...given }: Target<'apiKey', string> & { readonly overlapSeconds?: number | null },
): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const { overlapSeconds: seconds } = checkInput({ overlapSeconds }, given);
  const reissue = async () => {
    const record = await requireAPIKey(context, id);
    expectVersion(record, expectedVersion);
    requireGrant(viewer, record.scopes);
    const updatedAt = now();
    const previousUntil = new Date(updatedAt.getTime() + seconds * 1_000);
    const [apiKey, key] = await store.apiKeys.reissue(record, previousUntil, updatedAt);
    return { id, apiKey, key };
  };
  return mutate(context, reissue);
}

/** Revokes an API key: it is refused from now on. @throws NotFoundError, ConflictError */
export async function revokeAPIKey(
  context: MutationContext,
  { apiKey: id, expectedVersion, ...rest }: Target<'apiKey', string>,
): Promise<string> {
  refuseUnknown(rest);
  return mutate(context, async () => {
    expectVersion(await requireAPIKey(context, id, 'evenAltered'), expectedVersion);
    await context.store.apiKeys.remove({ id });
    return id;
  });
}

export function findAPIKey({ store }: DomainContext, id: string, altered?: EvenAltered): Promise<APIKeyRecord | null> {
  return readsOf(store.apiKeys, altered).one({ id });
}

async function requireAPIKey(context: DomainContext, id: string, altered?: EvenAltered): Promise<APIKeyRecord> {
  return required(await findAPIKey(context, id, altered), new NotFoundError('API key', ['apiKey']));
}

/** Returns the viewer of an API key. @throws UnauthenticatedError when the key does not exist or has expired, with the same message */
export async function authenticateAPIKey({ stores, now }: GatewayContext, { organizationId, id, secret }: APIKeyParts): Promise<Viewer> {
  const record = await stores.of(organizationId).apiKeys.verify(id, new Redacted(secret), now());
  if (!record) throw new UnauthenticatedError('The API key is unknown, revoked or expired.');
  const { scopes, integrationId } = record;
  const viewer = { organizationId, kind: 'apiKey', subject: id, scopes: new Set(scopes) } as const;
  return integrationId === null ? viewer : { ...viewer, confinedTo: { integrationId } };
}
