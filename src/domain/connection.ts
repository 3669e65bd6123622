import { type Issue, NotFoundError, type Path, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import {
  type ChangesOf,
  type Choices,
  choice,
  type InputOf,
  integer,
  object,
  objectList,
  objectType,
  text,
  type ValuesOf,
} from '../fields/field.ts';
import { canonicalHost, hostOfUrl } from '../fields/hosts.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import {
  type AuthSchemeInput,
  authScheme,
  credentialsIn,
  credentialsOf,
  refuseOtherTypes,
  refuseSameIds,
  toStored,
} from './auth-scheme.ts';
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
import { bindsIn, isSameScheme, putBack, type Visibility, visibilityOf } from './credential-visibility.ts';
import { type FieldsIn, nameText } from './fields.ts';
import { type MutationContext, mutate, recordAlso } from './mutate.ts';
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
    const base = newRecord(context);
    const bindings = {
      actionCredentials: await bind(context, { ...owner, id: base.id }, placed('actionCredentials', entries.actionCredentials ?? [])),
      triggerCredentials: await bind(context, { ...owner, id: base.id }, placed('triggerCredentials', entries.triggerCredentials ?? [])),
    };
    await refuseForbiddenDestinations(context, destinations({ ...checked, ...bindings }, connector));
    const record: ConnectionRecord = {
      ...base,
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
 * Changes the given fields. A given list replaces the whole list, except for the entries that the viewer cannot see: they are kept.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError
 */
export async function updateConnection(context: MutationContext, input: ConnectionChanges): Promise<ConnectionRecord> {
  const { connection: ref, expectedVersion, actionCredentials, triggerCredentials, ...changes } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkChanges(connectionFields, changes));
  const prepared = await prepareLists(context, { actionCredentials, triggerCredentials }, checks);
  const change = async () => {
    const [checked, entries] = [valid!, prepared!];
    const record = await requireTarget(context, ref, expectedVersion);
    const guarded = guardedIn(input);
    const visibility = guarded.length > 0 ? await visibilityOf(context, record.credentialIds) : new Map();
    const merged = {
      actionCredentials: entries.actionCredentials && withKept(record, entries.actionCredentials, 'actionCredentials', visibility),
      triggerCredentials: entries.triggerCredentials && withKept(record, entries.triggerCredentials, 'triggerCredentials', visibility),
    };
    refuseTooMany({
      actionCredentials: merged.actionCredentials ?? record.actionCredentials,
      triggerCredentials: merged.triggerCredentials ?? record.triggerCredentials,
    });
    const rebound = async (list: List) => (merged[list] ? bind(context, record, merged[list]) : record[list]);
    const bindings = { actionCredentials: await rebound('actionCredentials'), triggerCredentials: await rebound('triggerCredentials') };
    const pathOf = (list: List, index: number) => merged[list]?.[index]?.path ?? [list, index];
    return write(context, record, { ...checked, ...bindings }, guarded, visibility, pathOf);
  };
  return checks.thenMake(() => mutate(context, change), [(all) => findTarget(context, ref, namedIn(input), all)]);
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
  const prepared = await checks.run(() => prepareEntry(context, sent));
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
  const { actionCredentials, triggerCredentials } = { ...record, ...changes };
  const written = { ...changes, credentialIds: namedCredentials({ actionCredentials, triggerCredentials }) };
  refuseAiming(context, record, changes, written.credentialIds, visibility);
  if (guarded.length > 0) {
    const connector = record.connectorId === null ? null : await context.store.connectors.one({ id: record.connectorId });
    if (connector) refuseClientOf(context, connector, ['connection']);
    const before = destinations(record, connector);
    await refuseForbiddenDestinations(context, destinations({ ...record, ...written }, connector, guarded, pathOf), before);
  }
  return orNameTaken('connection', scopeOfName(record), () => updateRecord(context, context.store.connections, record, written));
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

/** Why an entry cannot be changed. */
const HIDDEN = 'the entry names a credential that the viewer cannot see';

/** An entry, or a binding that stays as it is, and its path in the input. */
interface Placed {
  readonly entry: Entry | Binding;
  readonly path: Path;
}

function placed(list: List, entries: readonly Entry[]): Placed[] {
  return entries.map((entry, index) => ({ entry, path: [list, index] }));
}

/**
 * Returns the new list that follows from the entries that a caller sent. What a viewer cannot see, it cannot remove, and it cannot change how that
 * authenticates, because the scheme decides where a client is sent:
 *
 * - An entry that names a hidden credential, itself or in its scheme, may be sent: without a scheme, or with the stored one. Then the caller
 *   decides its position. If it is left out, it keeps its place.
 * - An entry whose credential has expired may be sent in the same way. If it is left out, it is removed.
 *
 * Only entries of the same list count: a trigger credential must not become one that is sent to the service.
 *
 * @throws ValidationError
 */
function withKept(record: ConnectionRecord, entries: readonly Entry[], list: List, visibility: ReadonlyMap<string, Visibility>): Placed[] {
  const unseen = record[list]
    .map((value, place) => ({ value, place, isHidden: bindsIn(visibility, value, 'HIDDEN') }))
    .filter(({ value, isHidden }) => isHidden || bindsIn(visibility, value, 'EXPIRED'));
  const issues: Issue[] = [];
  const sent = entries.map((entry, index): Placed => {
    const path = [list, index];
    const same = 'id' in entry ? unseen.filter(({ value }) => value.credentialId === entry.id) : [];
    const match = same.find(({ value }) => entry.authScheme === undefined || isSameScheme(value.authScheme, entry.authScheme));
    if (match) {
      unseen.splice(unseen.indexOf(match), 1);
      return { entry: match.value, path };
    }
    if (same.some(({ isHidden }) => isHidden)) {
      issues.push({ path: [...path, 'authScheme'], message: `must be left out, or stay as it is: ${HIDDEN}` });
    } else if ('id' in entry && visibility.get(entry.id) === 'HIDDEN') {
      issues.push({
        path: [...path, 'credential', 'id'],
        message: 'names a credential that the viewer cannot see, and no other entry of this list',
      });
    } else if (credentialsOf(entry.authScheme ?? null).some((id) => visibility.get(id) === 'HIDDEN')) {
      issues.push({
        path: [...path, 'authScheme', 'oauth2'],
        message: 'names a credential that the viewer cannot see, and no entry of this list',
      });
    }
    return { entry, path };
  });
  if (issues.length > 0) throw new ValidationError(issues);
  refuseOtherTypes(
    record[list].map(({ authScheme }) => authScheme),
    entries.map(({ authScheme }) => authScheme ?? null),
    (index) => [list, index, 'authScheme', 'schemeType'],
  );
  const kept = unseen
    .filter(({ isHidden }) => isHidden)
    .map(({ value, place }) => ({ value: { entry: value, path: [list] } satisfies Placed, place }));
  // The sent ones last, so that the error is about one of them.
  refuseSameIds([...kept.map(({ value }) => value.entry.authScheme?.id), ...entries.map(({ authScheme }) => authScheme?.id)], (index) => [
    list,
    index - kept.length,
    'authScheme',
    'schemeId',
  ]);
  return putBack(sent, kept);
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
function refuseAiming(
  { viewer }: DomainContext,
  record: ConnectionRecord,
  changes: Partial<Pick<ConnectionRecord, 'allowedDomain' | 'variables'>>,
  credentialIds: readonly string[],
  visibility: ReadonlyMap<string, Visibility>,
): void {
  const aims = (['allowedDomain', 'variables'] as const).filter((field) => field in changes && !isSameValue(record[field], changes[field]));
  // Whatever is not among the credentials that the record named before, the viewer has just named, and so can see.
  if (!viewer.confinedTo?.endUserId || !credentialIds.some((id) => visibility.get(id) === 'HIDDEN')) return;
  const message = 'cannot be changed by an end user if the connection has credentials that do not belong to the end user';
  if (aims.length > 0) throw new ValidationError(aims.map((field) => ({ path: [field], message })));
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
  pathOf: (list: List, index: number) => Path = (list, index) => [list, index],
): Destination[] {
  const host = allowedDomain === null ? connector && hostOfUrl(connector.baseUrl) : canonicalHost(allowedDomain);
  return lists.flatMap((list) =>
    bindings[list].flatMap(({ credentialId, authScheme }, index) => {
      const path = pathOf(list, index);
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

/**
 * An entry that passed all checks that need no transaction: an existing credential, or one to create. The scheme is undefined if the caller has
 * not sent it.
 */
type Entry = ({ readonly id: string } | { readonly create: PreparedCredential }) & { readonly authScheme: AuthScheme | null | undefined };

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
        sent.map(({ authScheme }) => authScheme?.schemeId),
        (index) => [list, index, 'authScheme', 'schemeId'],
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
  const scheme = valid!.authScheme;
  const authScheme = given.authScheme === undefined ? undefined : scheme && toStored(scheme);
  return isId ? { id, authScheme } : { create: created!, authScheme };
}

/** Returns the existing credentials that an input names. */
function namedIn(given: BindingLists): NamedCredential[] {
  return lists.flatMap((list) => (given[list] ?? []).flatMap((entry, index) => namedBy(entry, [list, index])));
}

function namedBy({ credential, authScheme }: BindingInput, path: Path): NamedCredential[] {
  return [
    ...(typeof credential.id === 'string' ? [{ id: credential.id, path: [...path, 'credential', 'id'] }] : []),
    ...credentialsIn(authScheme).map((id) => ({ id, path: [...path, 'authScheme', 'oauth2'] })),
  ];
}

/**
 * Converts entries to bindings. Creates new credentials, and protects existing ones from being deleted at the same time. What is a binding
 * already needs no protection: deleting its credential writes the connection.
 */
async function bind(
  context: MutationContext,
  connection: { readonly id: string; readonly integrationId: string; readonly endUserId: string | null },
  entries: readonly Placed[],
): Promise<Binding[]> {
  const fresh = entries.flatMap(({ entry, path }) => ('credentialId' in entry ? [] : [{ entry, path }]));
  await holdCredentials(
    context,
    connection,
    fresh.flatMap(({ entry, path }) => [
      ...('id' in entry ? [{ id: entry.id, path: [...path, 'credential', 'id'] }] : []),
      ...credentialsOf(entry.authScheme ?? null).map((id) => ({ id, path: [...path, 'authScheme', 'oauth2'] })),
    ]),
  );
  const bindings: Binding[] = [];
  const created: string[] = [];
  for (const { entry, path } of entries) {
    if ('credentialId' in entry) {
      bindings.push(entry);
      continue;
    }
    const authScheme = entry.authScheme ?? null;
    if ('id' in entry) {
      bindings.push({ credentialId: entry.id, authScheme });
      continue;
    }
    const { id } = await at([...path, 'credential', 'create'], () => insertCredential(context, connection, entry.create));
    created.push(id);
    bindings.push({ credentialId: id, authScheme });
  }
  await recordAlso(context, { action: 'createCredential', noun: 'credential', ids: created }, { noun: 'connection', id: connection.id });
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
