import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import {
  type ChangesOf,
  type Choices,
  choice,
  type InputOf,
  integer,
  objectList,
  objectType,
  text,
  type ValuesOf,
} from '../fields/field.ts';
import { canonicalHost, hostOfUrl } from '../fields/hosts.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { BaseRecord } from '../store/records.ts';
import { credentialsOf, refuseSameIds } from './auth-scheme.ts';
import {
  type Destination,
  destinationsOf,
  type NamedCredential,
  namedCredentials,
  refuseForbiddenDestinations,
  refuseUnknownCredentials,
  refuseUnusable,
} from './binding.ts';
import {
  BINDINGS_MAX,
  type BindingInput,
  type BindingLists,
  bind,
  type Entry,
  HIDDEN,
  type List,
  lists,
  namedBy,
  namedIn,
  type Placed,
  placed,
  prepareEntry,
  prepareLists,
  refuseTooMany,
  withKept,
} from './connection-entries.ts';
import type { DomainContext } from './context.ts';
import { type PreparedCredential, removeCredentials, unsealedCredential } from './credential.ts';
import { bindsIn, type Visibility, visibilityOf } from './credential-visibility.ts';
import { recordCascades, usesOfCredential } from './deletion.ts';
import { baseUrlText, type FieldsIn, nameText } from './fields.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { forgetPrimary } from './primary-connection.ts';
import { shown } from './reading.ts';
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
import { isSameValue } from './same-value.ts';
import { siteOf } from './use-site.ts';
import { Checks } from './validation.ts';

const variable = objectType({
  typeName: 'Variable',
  inputName: 'VariableInput',
  description: 'A value that configures the connector for one connection. Not for secrets.',
  fields: {
    name: text({ ...nameText, description: 'Unique within the connection.' }),
    value: text({
      minLength: 0,
      maxLength: 4_096,
      format: 'value',
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
  baseUrl: text({
    ...baseUrlText,
    optional: true,
    description:
      'Overrides the base URL of the connector, on the same host: that of `allowedDomain` or, without it, of the connector. `{name}` stands for a variable. Null if it is that of the connector.',
  }),
  variables: objectList(variable, {
    optional: true,
    default: [],
    maxItems: 100,
    uniqueBy: 'name',
    description: 'The variables, in the given order.',
  }),
} satisfies FieldsIn<ConnectionRecord>;

/** The lists of a connection, for mutations that change one entry. */
export const connectionCredentialList = {
  enumName: 'ConnectionCredentialList',
  description: 'A list of credentials of a connection.',
  values: { ACTION: 'The list `actionCredentials`.', TRIGGER: 'The list `triggerCredentials`.' },
} as const satisfies Choices;
const listNamed = { ACTION: 'actionCredentials', TRIGGER: 'triggerCredentials' } as const satisfies Record<string, List>;

const list = choice({ choices: connectionCredentialList, description: 'The list.' });
const position = { optional: true, min: 0, max: BINDINGS_MAX - 1 } as const;
/** The input fields of a mutation that adds an entry, except the entry. */
export const addedEntryFields = {
  list,
  position: integer({ ...position, description: 'The position of the new entry, from 0. By default, it is added at the end.' }),
};
const whichEntry = integer({
  ...position,
  description: 'The position of the entry, from 0. Required only if the list has the credential several times.',
});
/** The input fields of a mutation that removes an entry, except its credential. */
export const removedEntryFields = { list, position: whichEntry };
/** The input fields of a mutation that moves an entry, except its credential. */
export const movedEntryFields = {
  list,
  position: whichEntry,
  to: integer({ ...position, optional: false, description: 'The new position of the entry, from 0.' }),
};

export type ConnectionInput = InputOf<typeof connectionFields> &
  BindingLists & {
    readonly integration: IntegrationRef;
    readonly connector?: ConnectorRef | null;
    readonly endUser?: EndUserRef | null;
  };
export type ConnectionChanges = Target<'connection', ConnectionRef> & ChangesOf<typeof connectionFields> & BindingLists;

type Entryless = Target<'connection', ConnectionRef>;
export type AddedEntry = Entryless & BindingInput & InputOf<typeof addedEntryFields>;
export type RemovedEntry = Entryless & { readonly credential: string } & InputOf<typeof removedEntryFields>;
export type MovedEntry = Entryless & { readonly credential: string } & InputOf<typeof movedEntryFields>;

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
  const prepared = await prepareLists(context, { actionCredentials, triggerCredentials }, checks, true);
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
    const base = newRecord(context);
    const bindings = {
      actionCredentials: await bind(context, { ...owner, id: base.id }, placed('actionCredentials', entries.actionCredentials ?? [])),
      triggerCredentials: await bind(context, { ...owner, id: base.id }, placed('triggerCredentials', entries.triggerCredentials ?? [])),
    };
    refuseBaseUrl(checked, connector ?? null);
    await refuseForbiddenDestinations(context, destinations({ ...checked, ...bindings }, connector));
    const record = newConnection({ ...base, ...owner }, connector?.id ?? null, checked, bindings);
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

/** Returns the record of a new connection. */
export function newConnection(
  base: BaseRecord & Pick<ConnectionRecord, 'integrationId' | 'endUserId'>,
  connectorId: string | null,
  checked: ValuesOf<typeof connectionFields>,
  bindings: Readonly<Record<List, readonly Binding[]>>,
): ConnectionRecord {
  const ownerId = connectorId ?? base.integrationId;
  return { ...base, connectorId, ownerId, ...checked, ...bindings, credentialIds: namedCredentials(bindings) };
}

/**
 * Changes the given fields. A given list replaces the whole list, except for the entries that the viewer cannot see: they are kept.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function updateConnection(context: MutationContext, input: ConnectionChanges): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, actionCredentials, triggerCredentials, ...changes } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkChanges(connectionFields, changes));
  const prepared = await prepareLists(context, { actionCredentials, triggerCredentials }, checks, true);
  const change = async () => {
    const record = await requireTarget(context, ref, expectedVersion);
    return changeConnection(context, record, valid!, prepared!);
  };
  return checks.thenMake(() => mutate(context, change), [(all) => findTarget(context, ref, namedIn(input), all)]);
}

/**
 * Writes checked changes of a connection, in the caller's transaction, in which the record was read. Absent lists are kept.
 * @throws ValidationError, NotFoundError, ConflictError
 */
export async function changeConnection(
  context: MutationContext,
  record: ConnectionRecord,
  checked: Partial<ValuesOf<typeof connectionFields>>,
  entries: Partial<Record<List, readonly Entry[]>>,
): Promise<ConnectionRecord> {
  const guarded = guardedIn({ ...checked, ...entries });
  const visibility = guarded.length > 0 ? await visibilityOf(context, record.credentialIds) : new Map();
  const merged = mergedLists(record, entries, visibility);
  const rebound = async (list: List) => (merged[list] ? bind(context, record, merged[list]) : record[list]);
  const bindings = { actionCredentials: await rebound('actionCredentials'), triggerCredentials: await rebound('triggerCredentials') };
  const pathOf = (list: List, index: number) => merged[list]?.[index]?.path ?? [list, index];
  return write(context, record, { ...checked, ...bindings }, guarded, visibility, pathOf);
}

/** A checked change of a connection, before it is written. */
export interface ConnectionChange {
  readonly record: ConnectionRecord;
  readonly changes: Partial<Omit<ConnectionRecord, keyof BaseRecord>>;
  /** The new credentials. */
  readonly credentials: readonly { readonly record: CredentialRecord; readonly prepared: PreparedCredential }[];
  /** The ids of the existing credentials in its entries, which must not be deleted at the same time. */
  readonly held: readonly string[];
}

/** What was read for a change of a connection. */
export interface ReadForChange {
  readonly connector: ConnectorRecord | null;
  /** Of the credentials that the connection names. */
  readonly visibility: ReadonlyMap<string, Visibility>;
  /** Returns a credential, if the viewer can see it. @throws AlteredRecordError */
  readonly credentialOf: (id: string) => CredentialRecord | undefined;
}

/** Does the same as `changeConnection`, but reads and writes nothing. @throws ValidationError, NotFoundError, AlteredRecordError */
export async function planChange(
  context: MutationContext,
  record: ConnectionRecord,
  checked: Partial<ValuesOf<typeof connectionFields>>,
  entries: Partial<Record<List, readonly Entry[]>>,
  { connector, visibility, credentialOf }: ReadForChange,
): Promise<ConnectionChange> {
  const guarded = guardedIn({ ...checked, ...entries });
  const merged = mergedLists(record, entries, visibility);
  const credentials: { record: CredentialRecord; prepared: PreparedCredential }[] = [];
  const named: NamedCredential[] = [];
  const rebound = (list: List): readonly Binding[] =>
    merged[list]?.map(({ entry, path }) => {
      if ('credentialId' in entry) return entry;
      const authScheme = entry.authScheme ?? null;
      named.push(...credentialsOf(authScheme).map((id) => ({ id, path: [...path, 'authScheme', 'oauth2'] })));
      if ('id' in entry) {
        named.push({ id: entry.id, path: [...path, 'credential', 'id'] });
        return { credentialId: entry.id, authScheme };
      }
      const created = unsealedCredential(context, record, entry.create);
      credentials.push({ record: created, prepared: entry.create });
      return { credentialId: created.id, authScheme };
    }) ?? record[list];
  const bindings = { actionCredentials: rebound('actionCredentials'), triggerCredentials: rebound('triggerCredentials') };
  for (const { id, path } of named) refuseUnusable(credentialOf(id), record, path);
  const created = new Map(credentials.map((each) => [each.record.id, each.record]));
  const changes = await checkWritten(context, record, { ...checked, ...bindings }, guarded, {
    connector: async () => connector,
    connectorPath: ['connector'],
    visibility,
    pathOf: (list, index) => merged[list]?.[index]?.path ?? [list, index],
    read: async (ids) => ids.flatMap((id) => created.get(id) ?? credentialOf(id) ?? []),
  });
  return { record, changes, credentials, held: named.map(({ id }) => id) };
}

/** Returns what becomes of the given lists. @throws ValidationError */
function mergedLists(
  record: ConnectionRecord,
  entries: Partial<Record<List, readonly Entry[]>>,
  visibility: ReadonlyMap<string, Visibility>,
): Partial<Record<List, Placed[]>> {
  const merged = {
    actionCredentials: entries.actionCredentials && withKept(record, entries.actionCredentials, 'actionCredentials', visibility),
    triggerCredentials: entries.triggerCredentials && withKept(record, entries.triggerCredentials, 'triggerCredentials', visibility),
  };
  refuseTooMany({
    actionCredentials: merged.actionCredentials ?? record.actionCredentials,
    triggerCredentials: merged.triggerCredentials ?? record.triggerCredentials,
  });
  return Object.fromEntries(Object.entries(merged).filter(([, list]) => list));
}

/**
 * Adds one entry to a list of a connection. The other entries stay as they are, also those that the viewer cannot see.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function addConnectionCredential(context: MutationContext, input: AddedEntry): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, credential, authScheme, ...given } = input;
  const sent = { credential, ...(authScheme !== undefined && { authScheme }) };
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(addedEntryFields, given));
  const prepared = await checks.run(() => prepareEntry(context, sent, checks.isEmpty));
  const change = async () => {
    const [{ list: name, position }, entry] = [valid!, prepared!];
    const list = listNamed[name];
    const record = await requireTarget(context, ref, expectedVersion);
    const entries = record[list];
    if (record.actionCredentials.length + record.triggerCredentials.length >= BINDINGS_MAX) {
      throw new ValidationError([
        { path: ['credential'], message: `must not give the connection more than ${BINDINGS_MAX} credentials in total` },
      ]);
    }
    refusePosition(position, entries.length, 'position');
    refuseSameIds([...entries.map((each) => each.authScheme?.id), entry.authScheme?.id], () => ['authScheme', 'schemeId']);
    const [added] = await bind(context, record, [{ entry, path: [] }]);
    return write(context, record, { [list]: entries.toSpliced(position ?? entries.length, 0, added!) }, [list], new Map(), () => []);
  };
  return checks.thenMake(() => mutate(context, change), [(all) => findTarget(context, ref, namedBy(sent, []), all)]);
}

/**
 * Removes one entry from a list of a connection. The credential itself is kept.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function removeConnectionCredential(context: MutationContext, input: RemovedEntry): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, credential, ...given } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(removedEntryFields, given));
  const change = async () => {
    const { list: name, position } = valid!;
    const list = listNamed[name];
    const record = await requireTarget(context, ref, expectedVersion);
    const at = entryAt(record[list], credential, position);
    if (bindsIn(await visibilityOf(context, record.credentialIds), record[list][at]!, 'HIDDEN')) {
      throw new ValidationError([{ path: ['credential'], message: `cannot be removed: ${HIDDEN}` }]);
    }
    return write(context, record, { [list]: record[list].toSpliced(at, 1) }, [list]);
  };
  return checks.thenMake(() => mutate(context, change), [(all) => findTarget(context, ref, [], all)]);
}

/**
 * Moves one entry of a list of a connection to another position in the same list.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function moveConnectionCredential(context: MutationContext, input: MovedEntry): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, credential, ...given } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(movedEntryFields, given));
  const change = async () => {
    const { list: name, position, to } = valid!;
    const list = listNamed[name];
    const record = await requireTarget(context, ref, expectedVersion);
    const at = entryAt(record[list], credential, position);
    refusePosition(to, record[list].length - 1, 'to');
    return write(context, record, { [list]: record[list].toSpliced(at, 1).toSpliced(to, 0, record[list][at]!) }, [list]);
  };
  return checks.thenMake(() => mutate(context, change), [(all) => findTarget(context, ref, [], all)]);
}

/** Checks whether the connection exists, and the existing credentials that an input would add to it. */
async function findTarget(context: DomainContext, ref: ConnectionRef, named: readonly NamedCredential[], checks: Checks): Promise<void> {
  const record = await checks.run(() => requireTarget(context, ref, undefined));
  const added = named.filter(({ id }) => !record?.credentialIds.includes(id));
  await refuseUnknownCredentials(context, record?.integrationId, added, checks);
}

/** @throws InvalidIntegrationError, NotFoundError, ConflictError */
async function requireTarget(
  context: DomainContext,
  ref: ConnectionRef,
  expectedVersion: number | null | undefined,
): Promise<ConnectionRecord> {
  const { inIntegration } = ref;
  if (inIntegration) await requireIntegration(context, inIntegration.integration, ['connection', 'inIntegration', 'integration']);
  const record = await requireConnection(context, ref, ['connection']);
  expectVersion(record, expectedVersion);
  return record;
}

/**
 * Writes checked changes of a connection. `guarded` are those of the changed fields that `guardedFields` lists. `pathOf` returns where the input
 * has an entry of a list.
 */
async function write(
  context: MutationContext,
  record: ConnectionRecord,
  changes: Partial<ValuesOf<typeof connectionFields> & Record<List, readonly Binding[]>>,
  guarded: readonly GuardedField[],
  visibility: ReadonlyMap<string, Visibility> = new Map(),
  pathOf?: (list: List, index: number) => Path,
): Promise<ConnectionRecord> {
  const connector = async () => (record.connectorId === null ? null : context.store.connectors.one({ id: record.connectorId }));
  const written = await checkWritten(context, record, changes, guarded, { connector, connectorPath: ['connection'], visibility, pathOf });
  return orNameTaken('connection', scopeOfName(record), () => updateRecord(context, context.store.connections, record, written));
}

/** Checks what changes of a connection lead to, and returns what is written. @throws ValidationError */
async function checkWritten(
  context: MutationContext,
  record: ConnectionRecord,
  changes: Partial<ValuesOf<typeof connectionFields> & Record<List, readonly Binding[]>>,
  guarded: readonly GuardedField[],
  {
    connector: connectorOf,
    connectorPath,
    visibility,
    pathOf,
    read,
  }: {
    readonly connector: () => Promise<ConnectorRecord | null>;
    readonly connectorPath: Path;
    readonly visibility: ReadonlyMap<string, Visibility>;
    readonly pathOf: ((list: List, index: number) => Path) | undefined;
    readonly read?: (ids: readonly string[]) => Promise<readonly CredentialRecord[]>;
  },
) {
  const { actionCredentials, triggerCredentials } = { ...record, ...changes };
  const written = { ...changes, credentialIds: namedCredentials({ actionCredentials, triggerCredentials }) };
  refuseAiming(context, record, changes, written.credentialIds, visibility);
  if (guarded.length > 0) {
    const connector = await connectorOf();
    if (connector) refuseClientOf(context, connector, connectorPath);
    if (aimingFields.some((field) => guarded.includes(field))) refuseBaseUrl({ ...record, ...written }, connector);
    const before = destinations(record, connector);
    await refuseForbiddenDestinations(context, destinations({ ...record, ...written }, connector, guarded, pathOf), before, read);
  }
  return written;
}

/** @throws ValidationError when the position is not in the list */
function refusePosition(position: number | null, last: number, name: string): void {
  if (position !== null && position > last) {
    throw new ValidationError([{ path: [name], message: `must be a position in the list: at most ${last}` }]);
  }
}

/**
 * Returns the position of the entry with this credential.
 * @throws NotFoundError when the list has none; ValidationError when it has several and the caller does not say which
 */
function entryAt(entries: readonly Binding[], credentialId: string, position: number | null): number {
  const positions = entries.flatMap((entry, index) => (entry.credentialId === credentialId ? [index] : []));
  const [first, ...others] = positions;
  if (first === undefined) throw new NotFoundError('credential', ['credential']);
  if (position === null && others.length > 0) {
    throw new ValidationError([{ path: ['position'], message: 'is required, because the list has the credential several times' }]);
  }
  if (position !== null && !positions.includes(position)) {
    throw new ValidationError([{ path: ['position'], message: 'must be the position of an entry with this credential' }]);
  }
  return position ?? first;
}

/** Returns where the name of a connection is unique, for messages. */
export function scopeOfName({ connectorId, endUserId }: ConnectionRecord): string {
  return `${connectorId === null ? 'integration' : 'connector'}${endUserId === null ? '' : ' for this end user'}`;
}

/**
 * Refuses a base URL on another host than the one that the connection leads to, so that a mistake shows at once: no request would be sent to it. One
 * with a variable that is not set yet is accepted.
 * @throws ValidationError
 */
export function refuseBaseUrl(connection: Pick<ConnectionRecord, (typeof aimingFields)[number]>, connector: ConnectorRecord | null): void {
  if (connection.baseUrl == null) return;
  const message = 'must be on the host of allowedDomain or, without it, of the connector';
  if (['BASE_URL', 'NO_HOST'].includes(String(siteOf(connection, connector)))) throw new ValidationError([{ path: ['baseUrl'], message }]);
}

/** The fields that decide where credentials are sent. */
const aimingFields = ['allowedDomain', 'baseUrl', 'variables'] as const;

/**
 * Refuses to let an end user decide where credentials are sent that the end user may not see. Such credentials belong to the integration,
 * and the organization has added them to the end user's connection.
 *
 * @throws ValidationError
 */
function refuseAiming(
  { viewer }: DomainContext,
  record: ConnectionRecord,
  changes: Partial<Pick<ConnectionRecord, (typeof aimingFields)[number]>>,
  credentialIds: readonly string[],
  visibility: ReadonlyMap<string, Visibility>,
): void {
  const aims = aimingFields.filter((field) => field in changes && !isSameValue(record[field] ?? null, changes[field] ?? null));
  // Whatever is not among the credentials that the record named before, the viewer has just named, and so can see.
  if (!viewer.confinedTo?.endUserId || !credentialIds.some((id) => visibility.get(id) === 'HIDDEN')) return;
  const message = 'cannot be changed by an end user if the connection has credentials that do not belong to the end user';
  if (aims.length > 0) throw new ValidationError(aims.map((field) => ({ path: [field], message })));
}

/** The fields that decide which credentials a connection has, and where it leads. */
const guardedFields = [...aimingFields, ...lists] as const;
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
export function refuseClientOf({ viewer }: DomainContext, { credentialIds, endUsersMayUseClient }: ConnectorRecord, path: Path): void {
  if (!viewer.confinedTo?.endUserId || credentialIds.length === 0 || endUsersMayUseClient) return;
  const message = 'has a connector whose client belongs to the integration, and which end users may not use (endUsersMayUseClient)';
  throw new ValidationError([{ path, message }]);
}

/**
 * Returns where the credentials of a connection are sent, and those that its auth schemes refer to. With `changed`, the paths are those of the
 * changed fields.
 */
export function destinations(
  { allowedDomain, ...bindings }: Pick<ConnectionRecord, 'allowedDomain' | List>,
  connector: ConnectorRecord | null | undefined,
  changed: readonly GuardedField[] = lists,
  pathOf: (list: List, index: number) => Path = (list, index) => [list, index],
): Destination[] {
  const host = allowedDomain === null ? connector && hostOfUrl(connector.baseUrl) : canonicalHost(allowedDomain);
  return lists.flatMap((list) =>
    bindings[list].flatMap(({ credentialId, authScheme }, index) => {
      const path = pathOf(list, index);
      const own = { credentialId, host: host ?? undefined, path: changed.includes(list) ? [...path, 'credential'] : ['allowedDomain'] };
      return [own, ...destinationsOf(authScheme, [...path, 'authScheme'])];
    }),
  );
}

/** Which credentials a deletion of a connection also deletes, and what that means. */
export const credentialsToDelete = {
  NONE: 'None: other connections can use them.',
  UNUSED: 'Those that no other connection and no connector uses, and that you can see.',
} as const;
export type CredentialsToDelete = keyof typeof credentialsToDelete;

/**
 * Deletes a connection. Its credentials are kept, because other connections can use them; with `UNUSED`, those that nothing uses any more are deleted,
 * too.
 *
 * @throws NotFoundError, ConflictError, ForbiddenError
 */
export async function deleteConnection(
  context: MutationContext,
  {
    connection: ref,
    expectedVersion,
    deleteCredentials,
    ...rest
  }: Target<'connection', ConnectionRef> & { readonly deleteCredentials?: CredentialsToDelete | null },
): Promise<string> {
  refuseUnknown(rest);
  const { store } = context;
  return mutate(context, async () => {
    const connection = await requireConnection(context, ref, ['connection'], 'evenAltered');
    const { id } = connection;
    expectVersion(connection, expectedVersion);
    const object = { noun: 'connection', id } as const;
    await forgetPrimary(context, [id], object);
    await store.connections.remove({ id });
    if (deleteCredentials === 'UNUSED') {
      // A transaction that attaches one writes it too. If both run at once, one of them is repeated.
      if (!connection.isAltered) await store.credentials.touchAll(connection.credentialIds);
      const ids = await unusedCredentials(context, connection, []);
      await recordCascades(context, object, [{ noun: 'credential', verb: 'delete', ids }]);
      if (ids.length > 0) await removeCredentials(context, { id: ids });
    }
    return id;
  });
}

/** Returns the credentials of a connection that nothing uses besides some connections. Nothing proves those of an altered connection. */
export async function unusedCredentials(
  context: DomainContext,
  { isAltered, credentialIds }: ConnectionRecord,
  except: readonly string[],
): Promise<string[]> {
  const { store } = context;
  if (isAltered || credentialIds.length === 0) return [];
  const found = shown(context, 'credential', await store.credentials.evenAltered.byIds(credentialIds));
  const ids = found.flatMap(({ id, isAltered: isCredentialAltered }) => (isCredentialAltered ? [] : [id]));
  if (ids.length === 0) return [];
  const uses = ids.map(usesOfCredential);
  const users = await store.connections.counts(
    uses.map(({ connections }) => connections),
    except.length + 1,
  );
  const schemes = await store.connectors.counts(
    uses.map(({ connectors }) => connectors),
    1,
  );
  // What cannot be counted in time may be in use.
  return ids.filter((_, at) => (users[at]?.count ?? Number.POSITIVE_INFINITY) <= except.length && schemes[at]?.count === 0);
}
