import { z } from 'zod';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import { type AuthSchemeInput, credentialsOf, readAuthSchemes } from './auth-scheme.ts';
import { holdCredentials } from './binding.ts';
import type { DomainContext } from './context.ts';
import { type DeletionOptions, refuseIfInUse } from './deletion.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, updateRecord } from './records.ts';
import { type ConnectorRef, type IntegrationRef, requireConnector, requireIntegration } from './references.ts';
import { check, descriptionText, nameText, urlText } from './validation.ts';

const fields = z.object({ name: nameText, description: descriptionText, baseUrl: urlText });

export interface ConnectorChanges {
  readonly name?: string;
  readonly description?: string | null;
  readonly baseUrl?: string;
  readonly authSchemes?: readonly AuthSchemeInput[] | null;
}
export interface ConnectorInput extends ConnectorChanges {
  readonly integration: IntegrationRef;
  readonly name: string;
  readonly baseUrl: string;
}

/** @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError */
export async function createConnector(context: MutationContext, input: ConnectorInput): Promise<ConnectorRecord> {
  const { store } = context;
  const { integration: ref, authSchemes: schemeInputs, ...rest } = input;
  const checked = check(fields, { description: null, ...rest }, ['input']);
  const authSchemes = readAuthSchemes(schemeInputs ?? [], ['input', 'authSchemes']);
  return mutate(context, async () => {
    const integration = await requireIntegration(context, ref, ['input', 'integration']);
    const credentialIds = await hold(context, integration.id, authSchemes);
    const record = { ...newRecord(context), integrationId: integration.id, ...checked, authSchemes, credentialIds };
    await store.slots.attach(integration.id);
    await orNameTaken('connector', 'integration', () => store.connectors.insert(record));
    await store.slots.open(record.id);
    return record;
  });
}

/** @throws ValidationError, NotFoundError, ConflictError */
export async function updateConnector(
  context: MutationContext,
  ref: ConnectorRef,
  changes: ConnectorChanges,
  expectedVersion?: number | null,
): Promise<ConnectorRecord> {
  const { authSchemes: schemeInputs, ...rest } = changes;
  const checked = check(fields.partial(), rest, ['input']);
  const authSchemes = schemeInputs === undefined ? undefined : readAuthSchemes(schemeInputs ?? [], ['input', 'authSchemes']);
  return mutate(context, async () => {
    const record = await requireConnector(context, ref, ['connector']);
    expectVersion(record, expectedVersion);
    const schemes = authSchemes && {
      authSchemes,
      credentialIds: await hold(context, record.integrationId, authSchemes),
    };
    return orNameTaken('connector', 'integration', () =>
      updateRecord(context, context.store.connectors, record, { ...checked, ...schemes }),
    );
  });
}

/** Deletes a connector, with `force` also its connections. @throws NotFoundError, ConflictError, InUseError */
export async function deleteConnector(context: MutationContext, ref: ConnectorRef, options: DeletionOptions): Promise<string> {
  const { store } = context;
  return mutate(context, async () => {
    const record = await requireConnector(context, ref, ['connector']);
    expectVersion(record, options.expectedVersion);
    const connections = { connectorId: record.id };
    await store.slots.close([record.id]);
    if (!options.force) await refuseIfInUse(context, 'connector', { connections });
    await store.connections.remove(connections);
    await store.connectors.remove({ id: record.id });
    return record.id;
  });
}

/** The credentials that a connector's schemes name. They are shared by all who connect, so none may belong to an end user. */
function hold(context: DomainContext, integrationId: string, schemes: readonly AuthScheme[]): Promise<string[]> {
  const named = schemes.flatMap((scheme, index) =>
    credentialsOf(scheme).map((id) => ({ id, path: ['input', 'authSchemes', index, 'oauth2'] })),
  );
  return holdCredentials(context, { integrationId, endUserId: null }, named);
}
