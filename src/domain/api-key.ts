import { z } from 'zod';
import { confinedScopes } from '../access/scopes.ts';
import type { APIKeyParts } from '../access/tokens.ts';
import type { Viewer } from '../access/viewer.ts';
import { NotFoundError, UnauthenticatedError } from '../errors.ts';
import { Redacted } from '../redacted.ts';
import type { APIKeyRecord } from '../store/api-key.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { checkGrant, requireGrant } from './grant.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, required } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { check, nameText, refusePast } from './validation.ts';

/** How long, in seconds, a key that was replaced may still be taken: a week. */
export const KEY_OVERLAP_SECONDS_MAX = 7 * 24 * 60 * 60;

const fields = z.object({ name: nameText, expiresAt: z.date().nullable() });
const overlap = z.int().min(0).max(KEY_OVERLAP_SECONDS_MAX);

export interface APIKeyInput {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly integration?: IntegrationRef | null;
  readonly expiresAt?: Date | null;
}

/** A key that was just made. It is shown once. */
export interface IssuedAPIKey {
  readonly apiKey: APIKeyRecord;
  readonly key: Redacted;
}

/** Makes an API key, which grants at most what its maker has. @throws ValidationError, ForbiddenError, InvalidIntegrationError, ConflictError */
export async function createAPIKey(context: MutationContext, input: APIKeyInput): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const checked = check(fields, { name: input.name, expiresAt: input.expiresAt ?? null }, ['input']);
  refusePast(checked.expiresAt, now(), ['input']);
  const scopes = checkGrant(viewer, input.scopes, input.integration ? confinedScopes.integration : null, ['input', 'scopes']);
  const issue = async () => {
    const integration = input.integration && (await requireIntegration(context, input.integration, ['input', 'integration']));
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
  id: string,
  options: { readonly overlapSeconds: number; readonly expectedVersion?: number | null },
): Promise<IssuedAPIKey> {
  const { store, viewer, now } = context;
  const seconds = check(overlap, options.overlapSeconds, ['overlapSeconds']);
  const reissue = async () => {
    const record = await requireAPIKey(context, id);
    expectVersion(record, options.expectedVersion);
    requireGrant(viewer, record.scopes);
    const updatedAt = now();
    const previousUntil = new Date(updatedAt.getTime() + seconds * 1_000);
    const [apiKey, key] = await store.apiKeys.reissue(record, previousUntil, updatedAt);
    return { id, apiKey, key };
  };
  return mutate(context, reissue);
}

/** Revokes an API key: it is refused from now on. @throws NotFoundError, ConflictError */
export async function revokeAPIKey(context: MutationContext, id: string, expectedVersion?: number | null): Promise<string> {
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
  return required(await findAPIKey(context, id), new NotFoundError('API key', ['id']));
}

/** The viewer whom an API key makes. @throws UnauthenticatedError when there is no such key, or its time is past: one answer for both */
export async function authenticateAPIKey({ stores, now }: GatewayContext, { organizationId, id, secret }: APIKeyParts): Promise<Viewer> {
  const record = await stores.of(organizationId).apiKeys.verify(id, new Redacted(secret), now());
  if (!record) throw new UnauthenticatedError('The API key is unknown, revoked or expired.');
  const { scopes, integrationId } = record;
  const viewer = { organizationId, kind: 'apiKey', subject: id, scopes: new Set(scopes) } as const;
  return integrationId === null ? viewer : { ...viewer, confinedTo: { integrationId } };
}
