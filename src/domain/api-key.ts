import { confinedScopes } from '../access/scopes.ts';
import type { APIKeyParts } from '../access/tokens.ts';
import type { Viewer } from '../access/viewer.ts';
import { NotFoundError, UnauthenticatedError } from '../errors.ts';
import { checkInput, refuseUnknown } from '../fields/check.ts';
import { type InputOf, instant, integer, text } from '../fields/field.ts';
import { Redacted } from '../redacted.ts';
import type { APIKeyRecord } from '../store/api-key.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { nameText } from './fields.ts';
import { checkGrant, requireGrant } from './grant.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, required, type Target } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { refusePast } from './validation.ts';

/** What callers write of an API key, beside its scopes. */
export const apiKeyFields = {
  name: text({ ...nameText, description: 'Unique within the organization.' }),
  expiresAt: instant({ optional: true, description: 'The key is refused from this time on. Null: it does not expire.' }),
};
/** How long a key that was replaced is still accepted. */
export const overlapSeconds = integer({
  optional: true,
  default: 0,
  min: 0,
  max: 7 * 24 * 60 * 60,
  description: 'How many seconds the old key is still accepted: 0 for one that leaked, up to a week to change it where it is used.',
});

export type APIKeyInput = InputOf<typeof apiKeyFields> & {
  readonly scopes: readonly string[];
  readonly integration?: IntegrationRef | null;
};

/** A key that was just made. It is shown once. */
export interface IssuedAPIKey {
  readonly apiKey: APIKeyRecord;
  readonly key: Redacted;
}

/** Makes an API key, which grants at most what its maker has. @throws ValidationError, ForbiddenError, InvalidIntegrationError, ConflictError */
export async function createAPIKey(context: MutationContext, input: APIKeyInput): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const { scopes: wanted, integration: ref, ...given } = input;
  const checked = checkInput(apiKeyFields, given);
  refusePast(checked.expiresAt, now());
  const scopes = checkGrant(viewer, wanted, ref ? confinedScopes.integration : null, ['scopes']);
  const issue = async () => {
    const integration = ref && (await requireIntegration(context, ref, ['integration']));
    // Whoever deletes the one or the other writes this too: no key outlives them.
    if (integration) await store.slots.attach(integration.id);
    await store.organization.touch();
    const record = { ...newRecord(context), ...checked, scopes, integrationId: integration?.id ?? null, lastUsedAt: null };
    const [apiKey, key] = await orNameTaken('API key', 'organization', () => store.apiKeys.issue(record));
    return { id: apiKey.id, apiKey, key };
  };
  return mutate(context, issue);
}

/**
 * Puts a new key in the place of the old one, which is taken for `overlapSeconds` more. Whoever does it gets the key in hand, and so must
 * have what it grants.
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
    expectVersion(await requireAPIKey(context, id), expectedVersion);
    await context.store.apiKeys.remove({ id });
    return id;
  });
}

export function findAPIKey({ store }: DomainContext, id: string): Promise<APIKeyRecord | null> {
  return store.apiKeys.one({ id });
}

async function requireAPIKey(context: DomainContext, id: string): Promise<APIKeyRecord> {
  return required(await findAPIKey(context, id), new NotFoundError('API key', ['apiKey']));
}

/** The viewer whom an API key makes. @throws UnauthenticatedError when there is no such key, or its time is past: one answer for both */
export async function authenticateAPIKey({ stores, now }: GatewayContext, { organizationId, id, secret }: APIKeyParts): Promise<Viewer> {
  const record = await stores.of(organizationId).apiKeys.verify(id, new Redacted(secret), now());
  if (!record) throw new UnauthenticatedError('The API key is unknown, revoked or expired.');
  const { scopes, integrationId } = record;
  const viewer = { organizationId, kind: 'apiKey', subject: id, scopes: new Set(scopes) } as const;
  return integrationId === null ? viewer : { ...viewer, confinedTo: { integrationId } };
}
