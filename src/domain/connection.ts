import { z } from 'zod';
import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import { type AuthSchemeInput, credentialsOf, readAuthScheme, refuseSameIds } from './auth-scheme.ts';
import { holdCredentials, namedCredentials } from './binding.ts';
import type { DomainContext } from './context.ts';
import { insertCredential, type MadeSecrets, makeSecrets, type NewCredential } from './credential.ts';
import type { DeletionOptions } from './deletion.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, updateRecord } from './records.ts';
import {
  type ConnectionRef,
  type ConnectorRef,
  type EndUserRef,
  type IntegrationRef,
  requireConnection,
  requireConnector,
  requireIntegration,
  requireOwner,
} from './references.ts';
import { anyText, check, hostnameText, nameText } from './validation.ts';

/** How many credentials a connection binds at most, action and trigger together. */
const BINDINGS_MAX = 20;

const variableList = z
  .array(z.object({ name: nameText, value: anyText.max(4_096) }))
  .max(100)
  .refine((variables) => new Set(variables.map(({ name }) => name)).size === variables.length, 'must have each name once');
const fields = z.object({ name: nameText, allowedDomain: hostnameText.nullable(), variables: variableList });

/** One of a connection's credentials: an existing one, or one made together with the connection. */
export interface BindingInput {
  readonly credential: { readonly id?: string; readonly create?: NewCredential };
  readonly authScheme?: AuthSchemeInput | null;
}
export interface ConnectionChanges {
  readonly name?: string;
  readonly allowedDomain?: string | null;
  readonly variables?: readonly { readonly name: string; readonly value: string }[] | null;
  readonly actionCredentials?: readonly BindingInput[] | null;
  readonly triggerCredentials?: readonly BindingInput[] | null;
}
export interface ConnectionInput extends ConnectionChanges {
  readonly integration: IntegrationRef;
  readonly connector?: ConnectorRef | null;
  readonly endUser?: EndUserRef | null;
  readonly name: string;
}

/**
 * Makes a connection and the credentials that its entries create, in one transaction.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function createConnection(context: MutationContext, input: ConnectionInput): Promise<ConnectionRecord> {
  const { store } = context;
  const { name, allowedDomain = null, variables } = input;
  const checked = check(fields, { name, allowedDomain, variables: variables ?? [] }, ['input']);
  refuseTooMany(input);
  const made = await secretsFor(input);
  return mutate(context, async () => {
    const integration = await requireIntegration(context, input.integration, ['input', 'integration']);
    const connector = input.connector && (await requireConnector(context, input.connector, ['input', 'connector']));
    if (connector && connector.integrationId !== integration.id) throw new NotFoundError('connector', ['input', 'connector']);
    const endUser = await requireOwner(context, input.endUser, integration, ['input', 'endUser']);
    await store.slots.attach(integration.id);
    if (connector) await store.slots.attach(connector.id);
    if (endUser) await store.endUsers.touch(endUser.id);

    const owner = { integrationId: integration.id, endUserId: endUser?.id ?? null };
    const bindings = {
      actionCredentials: await bind(context, owner, input.actionCredentials ?? [], made, ['input', 'actionCredentials']),
      triggerCredentials: await bind(context, owner, input.triggerCredentials ?? [], made, ['input', 'triggerCredentials']),
    };
    const record: ConnectionRecord = {
      ...newRecord(context),
      ...owner,
      connectorId: connector?.id ?? null,
      ownerId: connector?.id ?? integration.id,
      ...checked,
      ...bindings,
      credentialIds: namedCredentials(bindings),
    };
    return orNameTaken('connection', connector ? 'connector' : 'integration', () => store.connections.insert(record));
  });
}

/**
 * Changes what is given; a list that is given replaces the whole list, in the order given.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function updateConnection(
  context: MutationContext,
  ref: ConnectionRef,
  changes: ConnectionChanges,
  expectedVersion?: number | null,
): Promise<ConnectionRecord> {
  const { variables, ...rest } = changes;
  const checked = check(fields.partial(), { ...rest, ...(variables !== undefined && { variables: variables ?? [] }) }, ['input']);
  refuseTooMany(changes);
  const made = await secretsFor(changes);
  return mutate(context, async () => {
    const { inIntegration } = ref;
    if (inIntegration) await requireIntegration(context, inIntegration.integration, ['connection', 'inIntegration', 'integration']);
    const record = await requireConnection(context, ref, ['connection']);
    expectVersion(record, expectedVersion);
    const { actionCredentials = record.actionCredentials, triggerCredentials = record.triggerCredentials } = changes;
    refuseTooMany({ actionCredentials, triggerCredentials });
    const rebound = async (list: 'actionCredentials' | 'triggerCredentials') =>
      changes[list] === undefined ? record[list] : bind(context, record, changes[list] ?? [], made, ['input', list]);
    const bindings = { actionCredentials: await rebound('actionCredentials'), triggerCredentials: await rebound('triggerCredentials') };
    const written = { ...checked, ...bindings, credentialIds: namedCredentials(bindings) };
    await refuseAiming(context, checked, written.credentialIds);
    return orNameTaken('connection', record.connectorId ? 'connector' : 'integration', () =>
      updateRecord(context, context.store.connections, record, written),
    );
  });
}

/**
 * A viewer who is limited to one end user must not choose where credentials are sent that it may not see: those of the integration's own,
 * which the organization has put into the end user's connection.
 *
 * @throws ValidationError
 */
async function refuseAiming({ store, viewer }: DomainContext, changes: object, credentialIds: readonly string[]): Promise<void> {
  const aims = (['allowedDomain', 'variables'] as const).filter((field) => field in changes);
  if (!viewer.confinedTo?.endUserId || aims.length === 0) return;
  const own = await store.credentials.byIds(credentialIds);
  if (own.length === credentialIds.length) return;
  const message = 'cannot be changed by an end user while the connection has credentials that are not the end user’s own';
  throw new ValidationError(aims.map((field) => ({ path: ['input', field], message })));
}

/** Deletes a connection. Its credentials stay: they may serve others. @throws NotFoundError, ConflictError */
export async function deleteConnection(context: MutationContext, ref: ConnectionRef, options: DeletionOptions): Promise<string> {
  const { store } = context;
  return mutate(context, async () => {
    const { id, version } = await requireConnection(context, ref, ['connection']);
    expectVersion({ version }, options.expectedVersion);
    await store.connections.remove({ id });
    return id;
  });
}

/** Turns the entries of one list into bindings: finds what they name, keeps it from being deleted meanwhile, makes what they create. */
async function bind(
  context: DomainContext,
  owner: { readonly integrationId: string; readonly endUserId: string | null },
  entries: readonly BindingInput[],
  made: MadeSecrets,
  path: Path,
): Promise<Binding[]> {
  const schemes = entries.map(({ authScheme }, index) => (authScheme ? readAuthScheme(authScheme, [...path, index, 'authScheme']) : null));
  refuseSameIds(schemes, (index) => [...path, index, 'authScheme', 'id']);
  await holdCredentials(
    context,
    owner,
    entries.flatMap(({ credential }, index) => [
      ...(credential.id === undefined ? [] : [{ id: credential.id, path: [...path, index, 'credential', 'id'] }]),
      ...credentialsOf(schemes[index]!).map((id) => ({ id, path: [...path, index, 'authScheme', 'oauth2'] })),
    ]),
  );
  const bindings: Binding[] = [];
  for (const [index, { credential }] of entries.entries()) {
    const create = [...path, index, 'credential', 'create'];
    const credentialId = credential.id ?? (await insertCredential(context, owner, credential.create!, made, create)).id;
    bindings.push({ credentialId, authScheme: schemes[index]! });
  }
  return bindings;
}

/** Makes what the credentials to be made together with a connection ask the server to make. */
function secretsFor({ actionCredentials, triggerCredentials }: ConnectionChanges): Promise<MadeSecrets> {
  const entries = [...(actionCredentials ?? []), ...(triggerCredentials ?? [])];
  return makeSecrets(entries.flatMap(({ credential }) => (credential.create ? [credential.create.data] : [])));
}

/** @throws ValidationError when the two lists together bind more credentials than a connection may */
function refuseTooMany(lists: {
  readonly actionCredentials?: readonly unknown[] | null;
  readonly triggerCredentials?: readonly unknown[] | null;
}) {
  if ((lists.actionCredentials?.length ?? 0) + (lists.triggerCredentials?.length ?? 0) <= BINDINGS_MAX) return;
  const list = (lists.actionCredentials?.length ?? 0) > BINDINGS_MAX ? 'actionCredentials' : 'triggerCredentials';
  throw new ValidationError([
    { path: ['input', list], message: `must leave the connection with at most ${BINDINGS_MAX} credentials in all` },
  ]);
}
