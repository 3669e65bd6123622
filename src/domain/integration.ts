import { z } from 'zod';
import type { IntegrationRecord, SSOClaimSettings } from '../store/integration.ts';
import type { DomainContext } from './context.ts';
import { removeCredentials } from './credential.ts';
import { type DeletionOptions, refuseIfInUse } from './deletion.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, updateRecord } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { ssoClaimSettings } from './sso-claims.ts';
import { check, descriptionText, nameText } from './validation.ts';

const fields = z.object({ name: nameText, description: descriptionText, ssoClaims: ssoClaimSettings });

export interface IntegrationInput {
  readonly name: string;
  readonly description?: string | null;
  /** What to tell Zendesk of its end users; the domain checks it. */
  readonly ssoClaims?: Partial<SSOClaimSettings> | null;
}

/** @throws ValidationError, ConflictError */
export async function createIntegration(context: MutationContext, input: IntegrationInput): Promise<IntegrationRecord> {
  const { store } = context;
  const checked = check(fields, { description: null, ssoClaims: null, ...input }, ['input']);
  return mutate(context, async () => {
    const record = { ...newRecord(context), ...checked };
    // Deleting an organization writes its record too, so no integration can appear in one that is being deleted.
    await store.organization.touch();
    await orNameTaken('integration', 'organization', () => store.integrations.insert(record));
    await store.slots.open(record.id);
    return record;
  });
}

/** @throws ValidationError, InvalidIntegrationError, ConflictError */
export async function updateIntegration(
  context: MutationContext,
  ref: IntegrationRef,
  changes: Partial<IntegrationInput>,
  expectedVersion?: number | null,
): Promise<IntegrationRecord> {
  const checked = check(fields.partial(), changes, ['input']);
  return mutate(context, async () => {
    const record = await requireIntegration(context, ref, ['integration']);
    expectVersion(record, expectedVersion);
    return orNameTaken('integration', 'organization', () => updateRecord(context, context.store.integrations, record, checked));
  });
}

/** Deletes an integration, with `force` also all that belongs to it. @throws InvalidIntegrationError, ConflictError, InUseError */
export async function deleteIntegration(context: MutationContext, ref: IntegrationRef, options: DeletionOptions): Promise<string> {
  const { store } = context;
  return mutate(context, async () => {
    const { id, version } = await requireIntegration(context, ref, ['integration']);
    expectVersion({ version }, options.expectedVersion);
    if (!options.force) {
      // Who attaches to the integration writes one of its slots: after this, one of the two transactions runs again.
      await store.slots.close([id]);
      const contents = { integrationId: id };
      await refuseIfInUse(context, 'integration', {
        connectors: contents,
        endUsers: contents,
        connections: contents,
        credentials: contents,
      });
    }
    await removeIntegration(context, id);
    return id;
  });
}

/** Deletes an integration with all that belongs to it and the API keys that are limited to it, in a transaction of the caller's. */
export async function removeIntegration(context: DomainContext, id: string): Promise<void> {
  const { store } = context;
  const contents = { integrationId: id };
  await store.slots.close([id, ...(await store.connectors.ids(contents))]);
  await store.connections.remove(contents);
  await removeCredentials(context, contents);
  await store.ssoLinks.removeAll(id);
  await store.apiKeys.remove(contents);
  await store.endUsers.remove(contents);
  await store.connectors.remove(contents);
  await store.integrations.remove({ id });
}
