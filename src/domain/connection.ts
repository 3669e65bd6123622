import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, type InputOf, object, objectList, objectType, text } from '../fields/field.ts';
import { canonicalHost, hostOfUrl } from '../fields/hosts.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import { type AuthSchemeInput, authScheme, credentialsIn, credentialsOf, refuseSameIds, toStored } from './auth-scheme.ts';
import {
  type Destination,
  destinationsOf,
  holdCredentials,
  type NamedCredential,
  namedCredentials,
  refuseForbiddenDestinations,
  refuseUnknownCredentials,
} from './binding.ts';
import type { DomainContext } from './context.ts';
import { insertCredential, type NewCredential, type PreparedCredential, prepareCredential } from './credential.ts';
import { type FieldsIn, nameText } from './fields.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, orNameTaken, type Target, updateRecord } from './records.ts';
import {
  type ConnectionRef,
  type ConnectorRef,
  type EndUserRef,
  type IntegrationRef,
  requireConnection,
  requireConnector,
  requireEndUser,
  requireIntegration,
  requireOwner,
} from './references.ts';
import { at, Checks } from './validation.ts';

/** The maximum number of action and trigger credentials of a connection together. */
export const BINDINGS_MAX = 20;

const variable = objectType({
  typeName: 'Variable',
  inputName: 'VariableInput',
  description: 'A value that configures the connector for one connection. Not for secrets.',
  fields: {
    name: text({ ...nameText, description: 'Unique within the connection.' }),
    value: text({
      minLength: 0,
      maxLength: 4_096,
      format: 'any',
      description: 'The value. Everyone who can read the connection can read it.',
    }),
  },
});

/** The fields of a connection that callers write, except its credentials. */
export const connectionFields = {
  name: text({
    ...nameText,
    description:
      'Unique within the connector, or within the integration if there is no connector, among the connections of the same end user, or those of no end user. It can be changed.',
  }),
  allowedDomain: text({
    optional: true,
    maxLength: 253,
    format: 'hostname',
    description:
      'The only host that the credentials may be sent to, without scheme, port or path. It narrows the `allowedDomains` of each credential and cannot extend them. Null if it is the host of the connector.',
  }),
  variables: objectList(variable, {
    optional: true,
    default: [],
    maxItems: 100,
    uniqueBy: 'name',
    description: 'The variables, in the given order.',
  }),
} satisfies FieldsIn<ConnectionRecord>;

/** A credential of a connection: an existing one, or one that is created together with the connection. */
export interface BindingInput {
  readonly credential: { readonly id?: string | null; readonly create?: NewCredential | null };
  readonly authScheme?: AuthSchemeInput | null;
}
/** A connection's credentials by list, in the order in which they are applied. */
export interface BindingLists {
  readonly actionCredentials?: readonly BindingInput[] | null;
  readonly triggerCredentials?: readonly BindingInput[] | null;
}
/** The fields of a binding that callers write, except its credential. */
export const bindingFields = {
  authScheme: object(authScheme, { optional: true, description: 'How it authenticates. Null if the credential’s kind decides.' }),
};
const lists = ['actionCredentials', 'triggerCredentials'] as const;
type List = (typeof lists)[number];

export type ConnectionInput = InputOf<typeof connectionFields> &
  BindingLists & {
    readonly integration: IntegrationRef;
    readonly connector?: ConnectorRef | null;
    readonly endUser?: EndUserRef | null;
  };
export type ConnectionChanges = Target<'connection', ConnectionRef> & ChangesOf<typeof connectionFields> & BindingLists;

/**
 * Creates a connection and the new credentials in it, in one transaction.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function createConnection(context: MutationContext, input: ConnectionInput): Promise<ConnectionRecord> {
  const { store } = context;
  const {
    integration: integrationRef,
    connector: connectorRef,
    endUser: endUserRef,
    actionCredentials,
    triggerCredentials,
    ...given
  } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(connectionFields, given));
  const prepared = await prepareLists(context, { actionCredentials, triggerCredentials }, checks);
  const change = async () => {
    const [checked, entries] = [valid!, prepared!];
    const integration = await requireIntegration(context, integrationRef, ['integration']);
    const connector = connectorRef && (await requireConnector(context, connectorRef, ['connector']));
    if (connector && connector.integrationId !== integration.id) throw new NotFoundError('connector', ['connector']);
    if (connector) refuseClientOf(context, connector, ['connector']);
    const endUser = await requireOwner(context, endUserRef, integration, ['endUser']);
    await store.slots.attach(integration.id);
    if (connector) await store.slots.attach(connector.id);
    if (endUser) await store.endUsers.touch(endUser.id);

    const owner = { integrationId: integration.id, endUserId: endUser?.id ?? null };
    const bindings = {
      actionCredentials: await bind(context, owner, entries.actionCredentials ?? [], 'actionCredentials'),
      triggerCredentials: await bind(context, owner, entries.triggerCredentials ?? [], 'triggerCredentials'),
    };
    await refuseForbiddenDestinations(context, destinations({ ...checked, ...bindings }, connector));
    const record: ConnectionRecord = {
      ...newRecord(context),
      ...owner,
      connectorId: connector?.id ?? null,
      ownerId: connector?.id ?? integration.id,
      ...checked,
      ...bindings,
      credentialIds: namedCredentials(bindings),
    };
    return orNameTaken('connection', scopeOfName(record), () => store.connections.insert(record));
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const integration = await checks.run(() => requireIntegration(context, integrationRef, ['integration']));
        const connector = connectorRef && (await checks.run(() => requireConnector(context, connectorRef, ['connector'])));
        if (connector && integration && connector.integrationId !== integration.id) {
          checks.refuse(new NotFoundError('connector', ['connector']));
        }
        if (integration) await checks.run(() => requireOwner(context, endUserRef, integration, ['endUser']));
        else if (endUserRef) await checks.run(() => requireEndUser(context, endUserRef, ['endUser']));
        await refuseUnknownCredentials(context, integration?.id, namedIn(input), checks);
      },
    ],
  );
}

/**
 * Changes the given fields. A given list replaces the whole list.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function updateConnection(context: MutationContext, input: ConnectionChanges): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, actionCredentials, triggerCredentials, ...changes } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkChanges(connectionFields, changes));
  const prepared = await prepareLists(context, { actionCredentials, triggerCredentials }, checks);
  const change = async () => {
    const [checked, entries] = [valid!, prepared!];
    const record = await requireTarget(context, ref);
    expectVersion(record, expectedVersion);
    refuseTooMany({ ...record, ...entries });
    const rebound = async (list: List) => (entries[list] ? bind(context, record, entries[list], list) : record[list]);
    const bindings = { actionCredentials: await rebound('actionCredentials'), triggerCredentials: await rebound('triggerCredentials') };
    const written = { ...checked, ...bindings, credentialIds: namedCredentials(bindings) };
    await refuseAiming(context, checked, written.credentialIds);
    if (guardedIn(input).length > 0) {
      const connector = record.connectorId === null ? null : await context.store.connectors.one({ id: record.connectorId });
      if (connector) refuseClientOf(context, connector, ['connection']);
      const before = destinations(record, connector);
      await refuseForbiddenDestinations(context, destinations({ ...record, ...written }, connector, guardedIn(input)), before);
    }
    return orNameTaken('connection', scopeOfName(record), () => updateRecord(context, context.store.connections, record, written));
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const record = await checks.run(() => requireTarget(context, ref));
        const added = namedIn(input).filter(({ id }) => !record?.credentialIds.includes(id));
        await refuseUnknownCredentials(context, record?.integrationId, added, checks);
      },
    ],
  );
}

/** @throws InvalidIntegrationError, NotFoundError, AlteredRecordError */
async function requireTarget(context: DomainContext, ref: ConnectionRef): Promise<ConnectionRecord> {
  const { inIntegration } = ref;
  if (inIntegration) await requireIntegration(context, inIntegration.integration, ['connection', 'inIntegration', 'integration']);
  return requireConnection(context, ref, ['connection']);
}

/** Returns where the name of a connection is unique, for messages. */
function scopeOfName({ connectorId, endUserId }: ConnectionRecord): string {
  return `${connectorId === null ? 'integration' : 'connector'}${endUserId === null ? '' : ' for this end user'}`;
}

/**
 * Refuses to let an end user decide where credentials are sent that the end user may not see. Such credentials belong to the integration,
 * and the organization has added them to the end user's connection.
 *
 * @throws ValidationError
 */
async function refuseAiming({ store, viewer }: DomainContext, changes: object, credentialIds: readonly string[]): Promise<void> {
  const aims = (['allowedDomain', 'variables'] as const).filter((field) => field in changes);
  if (!viewer.confinedTo?.endUserId || aims.length === 0) return;
  const own = await store.credentials.byIds(credentialIds);
  if (own.length === credentialIds.length) return;
  const message = 'cannot be changed by an end user if the connection has credentials that do not belong to the end user';
  throw new ValidationError(aims.map((field) => ({ path: [field], message })));
}

/** The fields that decide which credentials a connection has, and where it leads. */
const guardedFields = ['allowedDomain', 'variables', ...lists] as const;
type GuardedField = (typeof guardedFields)[number];

/** Returns which of these fields an input has. */
function guardedIn(input: { readonly [F in GuardedField]?: unknown }): GuardedField[] {
  return guardedFields.filter((field) => input[field] !== undefined);
}

/**
 * Refuses an end user as the maker of a connection that uses the integration's own client or certificate, unless the connector allows it. The
 * organization itself can create such a connection for an end user.
 *
 * @throws ValidationError
 */
function refuseClientOf({ viewer }: DomainContext, { credentialIds, endUsersMayUseClient }: ConnectorRecord, path: Path): void {
  if (!viewer.confinedTo?.endUserId || credentialIds.length === 0 || endUsersMayUseClient) return;
  const message = 'has a connector whose client belongs to the integration, and which end users may not use (endUsersMayUseClient)';
  throw new ValidationError([{ path, message }]);
}

/**
 * Returns where the action credentials of a connection are sent, and those that its auth schemes refer to. With `changed`, the paths are those
 * of the changed fields.
 */
function destinations(
  { allowedDomain, ...bindings }: Pick<ConnectionRecord, 'allowedDomain' | List>,
  connector: ConnectorRecord | null | undefined,
  changed: readonly GuardedField[] = lists,
): Destination[] {
  const host = allowedDomain === null ? connector && hostOfUrl(connector.baseUrl) : canonicalHost(allowedDomain);
  return lists.flatMap((list) =>
    bindings[list].flatMap(({ credentialId, authScheme }, index) => {
      const path = [list, index];
      // Trigger credentials check requests from the service and are not sent to it.
      const own = { credentialId, host: host ?? undefined, path: changed.includes(list) ? [...path, 'credential'] : ['allowedDomain'] };
      return [...(list === 'actionCredentials' ? [own] : []), ...destinationsOf(authScheme, [...path, 'authScheme'])];
    }),
  );
}

/** Deletes a connection, but not its credentials, which other connections can use. @throws NotFoundError, ConflictError */
export async function deleteConnection(
  context: MutationContext,
  { connection: ref, expectedVersion, ...rest }: Target<'connection', ConnectionRef>,
): Promise<string> {
  refuseUnknown(rest);
  const { store } = context;
  return mutate(context, async () => {
    const { id, version } = await requireConnection(context, ref, ['connection'], 'evenAltered');
    expectVersion({ version }, expectedVersion);
    await store.connections.remove({ id });
    return id;
  });
}

/** An entry that passed all checks that need no transaction: an existing credential, or one to create. */
type Entry = ({ readonly id: string } | { readonly create: PreparedCredential }) & { readonly authScheme: AuthScheme | null };

/**
 * Checks the entries of the given lists. Null is an empty list. Returns undefined if something is wrong. Too many entries are not checked one
 * by one.
 */
async function prepareLists(
  context: DomainContext,
  given: BindingLists,
  checks: Checks,
): Promise<Partial<Record<List, readonly Entry[]>> | undefined> {
  if (
    (await checks.run(() => {
      refuseTooMany(given);
      return true;
    })) === undefined
  )
    return undefined;
  const prepared: Partial<Record<List, readonly Entry[]>> = {};
  for (const list of lists) {
    if (given[list] === undefined) continue;
    const sent = given[list] ?? [];
    const entries: Entry[] = [];
    for (const [index, entry] of sent.entries()) {
      const valid = await checks.run(() => at([list, index], () => prepareEntry(context, entry)));
      if (valid) entries.push(valid);
    }
    await checks.run(() =>
      refuseSameIds(
        sent.map(({ authScheme }) => authScheme),
        (index) => [list, index, 'authScheme', 'id'],
      ),
    );
    prepared[list] = entries;
  }
  return prepared;
}

async function prepareEntry(context: DomainContext, { credential, ...given }: BindingInput): Promise<Entry> {
  const checks = new Checks();
  const valid = await checks.run(() => checkInput(bindingFields, given));
  const { id, create, ...rest } = credential;
  await checks.run(() => at(['credential'], () => refuseUnknown(rest)));
  const isId = typeof id === 'string';
  if (!isId && !create) checks.refuse(new ValidationError([{ path: ['credential'], message: 'must have exactly one member' }]));
  const created =
    isId || !create ? undefined : await checks.run(() => at(['credential', 'create'], () => prepareCredential(context, create)));
  checks.end();
  const authScheme = valid!.authScheme && toStored(valid!.authScheme);
  return isId ? { id, authScheme } : { create: created!, authScheme };
}

/** Returns the existing credentials that an input names. */
function namedIn(given: BindingLists): NamedCredential[] {
  return lists.flatMap((list) =>
    (given[list] ?? []).flatMap(({ credential, authScheme }, index) => [
      ...(typeof credential.id === 'string' ? [{ id: credential.id, path: [list, index, 'credential', 'id'] }] : []),
      ...credentialsIn(authScheme).map((id) => ({ id, path: [list, index, 'authScheme', 'oauth2'] })),
    ]),
  );
}

/** Converts the entries of one list to bindings. Creates new credentials, and protects existing ones from being deleted at the same time. */
async function bind(
  context: DomainContext,
  owner: { readonly integrationId: string; readonly endUserId: string | null },
  entries: readonly Entry[],
  list: List,
): Promise<Binding[]> {
  await holdCredentials(
    context,
    owner,
    entries.flatMap((entry, index) => [
      ...('id' in entry ? [{ id: entry.id, path: [list, index, 'credential', 'id'] }] : []),
      ...credentialsOf(entry.authScheme).map((id) => ({ id, path: [list, index, 'authScheme', 'oauth2'] })),
    ]),
  );
  const bindings: Binding[] = [];
  for (const [index, entry] of entries.entries()) {
    const credentialId =
      'id' in entry ? entry.id : (await at([list, index, 'credential', 'create'], () => insertCredential(context, owner, entry.create))).id;
    bindings.push({ credentialId, authScheme: entry.authScheme });
  }
  return bindings;
}

/** @throws ValidationError when both lists together have more credentials than a connection can have */
function refuseTooMany(lists: {
  readonly actionCredentials?: readonly unknown[] | null;
  readonly triggerCredentials?: readonly unknown[] | null;
}) {
  if ((lists.actionCredentials?.length ?? 0) + (lists.triggerCredentials?.length ?? 0) <= BINDINGS_MAX) return;
  const list = (lists.actionCredentials?.length ?? 0) > BINDINGS_MAX ? 'actionCredentials' : 'triggerCredentials';
  throw new ValidationError([{ path: [list], message: `must not give the connection more than ${BINDINGS_MAX} credentials in total` }]);
}
