import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, type InputOf, object, text } from '../fields/field.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { DomainContext } from './context.ts';
import { removeCredentials } from './credential.ts';
import { type Forceable, recordCascades, refuseIfInUse } from './deletion.ts';
import { expiryNoticesField } from './expiry-notices.ts';
import { descriptionField, type FieldsIn, nameText } from './fields.ts';
import { type MutationContext, mutate, recordAlso } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, type Target, updateRecord } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { isSameValue } from './same-value.ts';
import { ssoClaims } from './sso-claims.ts';
import { Checks } from './validation.ts';
import { removeWebhooks } from './webhook-removal.ts';

/** The fields of an integration that callers write. */
export const integrationFields = {
  name: text({ ...nameText, description: 'Unique within the organization.' }),
  description: descriptionField,
  ssoClaims: object(ssoClaims, {
    optional: true,
    description: 'Additional claims for SSO links. An update replaces the whole object. Null if not set.',
  }),
  expiryNotices: expiryNoticesField,
} satisfies FieldsIn<IntegrationRecord>;

/** @throws ValidationError, ConflictError */
export async function createIntegration(context: MutationContext, input: InputOf<typeof integrationFields>): Promise<IntegrationRecord> {
  const { store } = context;
  const checked = checkInput(integrationFields, input);
  return mutate(context, async () => {
    const record = { ...newRecord(context), ...checked };
    // A deletion of the organization writes its record too, so no integration can be created at the same time.
    await store.organization.touch();
    await orNameTaken('integration', 'organization', () => store.integrations.insert(record));
    await store.slots.open(record.id);
    return record;
  });
}

/** @throws ValidationError, InvalidIntegrationError, ConflictError */
export async function updateIntegration(
  context: MutationContext,
  input: Target<'integration', IntegrationRef> & ChangesOf<typeof integrationFields>,
): Promise<IntegrationRecord> {
  const { integration: ref, expectedVersion, ...changes } = input;
  const checks = new Checks(context);
  const checked = await checks.run(() => checkChanges(integrationFields, changes));
  const change = () =>
    mutate(context, async () => {
      const record = await requireIntegration(context, ref, ['integration']);
      expectVersion(record, expectedVersion);
      const updated = await orNameTaken('integration', 'organization', () =>
        updateRecord(context, context.store.integrations, record, checked!),
      );
      // When they are due is determined again. Only credentials that expire have any.
      if (!isSameValue(updated.expiryNotices ?? null, record.expiryNotices ?? null))
        await context.store.credentials.unsettleNotices(record.id);
      return updated;
    });
  return checks.thenMake(change, [() => requireIntegration(context, ref, ['integration'])]);
}

/**
 * Deletes an integration; with `force`, also everything that belongs to it.
 * @throws InvalidIntegrationError, ConflictError, InUseError, ForbiddenError
 */
export async function deleteIntegration(
  context: MutationContext,
  { integration: ref, expectedVersion, force, ...rest }: Target<'integration', IntegrationRef> & Forceable,
): Promise<string> {
  refuseUnknown(rest);
  const { store } = context;
  return mutate(context, async () => {
    const { id, version } = await requireIntegration(context, ref, ['integration'], 'evenAltered');
    expectVersion({ version }, expectedVersion);
    const contents = { integrationId: id };
    if (!force) {
      // A transaction that attaches to the integration writes one of its slots. If both run at once, one of them is repeated.
      await store.slots.close([id]);
      await refuseIfInUse(context, 'integration', {
        connectors: contents,
        endUsers: contents,
        connections: contents,
        credentials: contents,
      });
    }
    const object = { noun: 'integration', id } as const;
    await recordCascades(context, object, [
      { noun: 'connection', verb: 'delete', ids: await store.connections.ids(contents) },
      { noun: 'credential', verb: 'delete', ids: await store.credentials.ids(contents) },
      { noun: 'endUser', verb: 'delete', ids: await store.endUsers.ids(contents) },
      { noun: 'connector', verb: 'delete', ids: await store.connectors.ids(contents) },
    ]);
    // Without the integration, its API keys could reach nothing. So this needs no further scope.
    await recordAlso(context, { action: 'revokeAPIKey', noun: 'apiKey', ids: await store.apiKeys.ids(contents) }, object);
    // Nor could its webhooks get anything.
    await recordAlso(context, { action: 'deleteWebhook', noun: 'webhook', ids: await store.webhooks.ids(contents) }, object);
    await removeIntegration(context, id);
    return id;
  });
}

/** Deletes an integration, everything that belongs to it, and the API keys and webhooks that are limited to it. Runs in the caller's transaction. */
export async function removeIntegration(context: DomainContext, id: string): Promise<void> {
  const { store } = context;
  const contents = { integrationId: id };
  await store.slots.close([id, ...(await store.connectors.ids(contents))]);
  await store.connections.remove(contents);
  await removeCredentials(context, contents);
  await store.ssoLinks.removeAll(id);
  await store.authorizations.removeAll(contents);
  await store.apiKeys.remove(contents);
  await removeWebhooks(context, contents);
  await store.endUsers.remove(contents);
  await store.connectors.remove(contents);
  await store.integrations.remove({ id });
}
