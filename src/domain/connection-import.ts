import { AlteredRecordError, GatewayError, type Issue, NotFoundError, type Path, StorageLimitError, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import type { InputOf, ValuesOf } from '../fields/field.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { BaseRecord, Filter, PageOf, RecordStore } from '../store/records.ts';
import { refuseForbiddenDestinations, refuseUnusable } from './binding.ts';
import {
  type ConnectionChange,
  connectionFields,
  destinations,
  newConnection,
  planChange,
  type ReadForChange,
  refuseBaseUrl,
  refuseClientOf,
  scopeOfName,
} from './connection.ts';
import { type BindingLists, type Entry, type List, lists, namedIn, prepareLists } from './connection-entries.ts';
import {
  asMerged,
  type CredentialMerge,
  insertCredentials,
  isSameKind,
  noMerge,
  type PreparedCredential,
  planMerge,
  saveMerges,
  unsealedCredential,
} from './credential.ts';
import { visibilityOf } from './credential-visibility.ts';
import {
  checkNumber,
  failed,
  forEachItem,
  type ImportResult,
  ItemError,
  importInChunks,
  isAboutItem,
  refuseIfAllFailed,
} from './import.ts';
import { type MutationContext, recordAllAlso } from './mutate.ts';
import { shown } from './reading.ts';
import { ABSENT, expectVersion, isUnchanged, newRecord, orNameTaken, type Upserted, updateRecord, upserting } from './records.ts';
import { type ConnectorRef, type EndUserRef, formsOf, type IntegrationRef, requireIntegration } from './references.ts';
import { isSameValue } from './same-value.ts';
import { at, Checks } from './validation.ts';

/** A connection to import. Its name, with its connector and its end user, decides which existing connection it is. */
export type ImportedConnection = InputOf<typeof connectionFields> &
  BindingLists & { readonly connector?: ConnectorRef | null; readonly endUser?: EndUserRef | null };

export interface ConnectionImportInput {
  readonly integration: IntegrationRef;
  readonly connections: readonly ImportedConnection[];
  readonly replaceSecrets?: boolean | null;
}

/** An item that was checked as far as this needs no transaction. */
interface Item {
  readonly given: ImportedConnection;
  /** What is wrong with it, so that it cannot be imported. The rest is then only there to find out what else is wrong. */
  readonly error: GatewayError | undefined;
  /** The ids in it that no record can have. */
  readonly malformed: readonly Issue[];
  readonly checked: ValuesOf<typeof connectionFields> | undefined;
  readonly entries: Partial<Record<List, readonly Entry[]>>;
}

/** An item whose references were found. */
interface Planned {
  readonly item: Item;
  readonly index: number;
  readonly connector: ConnectorRecord | null;
  readonly endUser: EndUserRecord | null;
}

/** A new connection with its new credentials, before they are written. */
interface Creation extends Planned {
  readonly record: ConnectionRecord;
  readonly credentials: readonly { readonly record: CredentialRecord; readonly prepared: PreparedCredential }[];
  readonly held: readonly string[];
}

/** A checked change of an existing connection and of its credentials, before it is written. */
interface Update extends Planned {
  readonly record: ConnectionRecord;
  /** Undefined if the connection itself has everything already. */
  readonly change: ConnectionChange | undefined;
  /** The ids of the credentials that change. */
  readonly changed: readonly string[];
}

/**
 * Creates connections with their new credentials, and updates those that exist: with the same name, connector and end user. Sending the same again
 * changes nothing. A new credential that has the name and the kind of one in the same list of the existing connection, is that one. Returns a result for
 * each item, in their order.
 *
 * Each hundred items are one transaction. An item that fails changes nothing, and does not prevent the others.
 *
 * @throws ValidationError, InvalidIntegrationError, AlteredRecordError, and the error of the items if all of them fail
 */
export async function importConnections(context: MutationContext, input: ConnectionImportInput): Promise<readonly ImportResult[]> {
  const results = await importEachConnection(context, input);
  refuseIfAllFailed(results, 'connections');
  for (const { error } of results) if (error) context.refused?.(error.code);
  return results;
}

/**
 * Creates a connection, or changes the one that has the name, with the same connector and end user, as an import of this one connection does.
 * @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, AlteredRecordError, and StorageLimitError
 */
export async function upsertConnection(
  context: MutationContext,
  input: ImportedConnection & {
    readonly integration: IntegrationRef;
    readonly replaceSecrets?: boolean | null;
    readonly expectedVersion?: number | null;
  },
): Promise<Upserted<ConnectionRecord>> {
  const { integration, replaceSecrets, expectedVersion, ...connection } = input;
  const isOfItem = ({ path: [first] }: Issue) => first !== 'integration';
  const malformed = (context.malformed ?? []).map((issue) => (isOfItem(issue) ? { ...issue, path: [...ONLY, ...issue.path] } : issue));
  let record: ConnectionRecord | null = null;
  const read = async (id: string) => {
    record = await context.store.connections.one({ id });
  };
  return upserting(async () => {
    try {
      const given = { integration, connections: [connection], replaceSecrets: replaceSecrets ?? true };
      const [result] = await importEachConnection({ ...context, malformed }, given, undefined, { expectedVersion, onImported: read });
      if (result!.error) throw result!.error;
      return { record: record!, created: result!.status === 'CREATED' };
    } catch (error) {
      throw error instanceof GatewayError ? ofOnly(error) : error;
    }
  });
}

/** Where the connection of an upsert is in the input of its import. */
const ONLY = ['connections', 0] as const;

/** The error of an upsert, with paths in its own input. */
function ofOnly(error: GatewayError): GatewayError {
  const within = (path: Path) => (ONLY.every((step, index) => path[index] === step) ? path.slice(ONLY.length) : path);
  if (error instanceof ValidationError) return new ValidationError(error.issues.map((issue) => ({ ...issue, path: within(issue.path) })));
  return error instanceof NotFoundError ? new NotFoundError(error.noun, within(error.path)) : error;
}

/** What an upsert adds to an import. */
interface UpsertOptions {
  readonly expectedVersion?: number | null | undefined;
  /** Called in the transaction with the id of what exists now. */
  readonly onImported?: (id: string) => Promise<void>;
}

/** The lists of connections that lack entries that they should have. */
export type IncompleteLists = ReadonlyMap<ImportedConnection, readonly List[]>;

/**
 * Does the same, but returns the results if all items fail. A list that is incomplete is for new connections only: an existing connection keeps its
 * own.
 */
export async function importEachConnection(
  context: MutationContext,
  { integration: ref, connections, replaceSecrets, ...rest }: ConnectionImportInput,
  incomplete: IncompleteLists = new Map(),
  upsert: UpsertOptions = {},
): Promise<readonly ImportResult[]> {
  const { malformed = [] } = context;
  const isOfItem = ({ path }: Issue) => path[0] === 'connections' && typeof path[1] === 'number';
  const checks = new Checks({ malformed: malformed.filter((issue) => !isOfItem(issue)) });
  await checks.run(() => refuseUnknown(rest));
  try {
    checkNumber(connections, 'connections');
  } catch (error) {
    checks.refuse(error);
    checks.end();
  }

  // Equal key files are read once, and what was read before the transaction takes no time in it.
  const keyFiles = context.keyFiles();
  const own: MutationContext = { ...context, malformed: [], keyFiles: () => keyFiles };
  const items = await forEachItem(connections, (given, index) => {
    const ofThis = malformed.filter((issue) => isOfItem(issue) && issue.path[1] === index);
    return prepareItem(
      own,
      given,
      ofThis.map(({ path, message }) => ({ path: path.slice(2), message })),
    );
  });
  const refuseItems = async () => {
    for (const [index, { error }] of items.entries()) if (error) checks.refuse(error.within(['connections', index]));
  };
  return checks.thenMake(
    () => importItems(own, ref, items, { replaceSecrets: replaceSecrets === true, incomplete, upsert }),
    [
      refuseItems,
      async () => {
        await checks.run(() => requireIntegration(own, ref, ['integration']));
      },
    ],
  );
}

/** Imports items that were checked. @throws InvalidIntegrationError */
async function importItems(
  own: MutationContext,
  ref: IntegrationRef,
  checked: readonly Item[],
  options: Pick<ChunkOptions, 'replaceSecrets' | 'incomplete' | 'upsert'>,
): Promise<readonly ImportResult[]> {
  const full: ChunkOptions['full'][number][] = [];
  const tried: ChunkOptions['tried'] = new Map();
  const items = await withoutRepeated(own, ref, checked);
  const sound = items.filter(({ error }) => !error);
  const imported = await importInChunks(
    own,
    sound,
    async (chunk, exhausted) => {
      const integration = await requireIntegration(own, ref, ['integration']);
      const results = await importChunk(own, integration, chunk, { exhausted, full, tried, ...options });
      // Of an upsert, the audit log names the connection.
      const [only] = options.upsert.onImported ? results : [];
      return { objectId: only?.id ?? integration.id, results };
    },
    (item, error) => {
      const owned = tried.get(item);
      if (owned && error instanceof StorageLimitError && error.limit === 'MAX_OWNED') full.push({ ...owned, error });
    },
  );
  const unsound = items.filter(({ error }) => error);
  const refused = unsound.length === 0 ? [] : await refusalsOf(own, ref, unsound);
  return items.map((item) => (item.error ? refused[unsound.indexOf(item)]! : imported[sound.indexOf(item)]!));
}

/**
 * Refuses items that are the same connection as an earlier one. This is decided over all items, before the first of them is written. Reads nothing if
 * every name is there once. @throws InvalidIntegrationError
 */
async function withoutRepeated(context: MutationContext, ref: IntegrationRef, items: readonly Item[]): Promise<readonly Item[]> {
  const nameOf = ({ checked }: Item) => checked!.name.normalize('NFC');
  const sound = items.filter(({ error }) => !error);
  const counts = new Map<string, number>();
  for (const item of sound) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1);
  const repeated = new Set(sound.filter((item) => counts.get(nameOf(item))! > 1));
  if (repeated.size === 0) return items;
  const integration = await requireIntegration(context, ref, ['integration']);
  const directory = await directoryOf(context, integration, [...repeated]);
  const taken = new Set<string>();
  const result: Item[] = [];
  for (const item of items) {
    const error =
      repeated.has(item) &&
      (await errorOf(async () => {
        const key = keyOf(integration, { item, ...(await findOwners(context, directory, item)) });
        if (taken.has(key)) {
          throw new ValidationError([
            { path: ['name'], message: 'must not be that of an earlier item, with the same connector and end user' },
          ]);
        }
        taken.add(key);
      }));
    // Whether its references exist is decided in the transaction.
    result.push(error instanceof ValidationError ? { ...item, error } : item);
  }
  return result;
}

/** Finds the connector and the end user of an item. */
async function findOwners(
  context: MutationContext,
  directory: Directory,
  { given }: Item,
): Promise<Pick<Planned, 'connector' | 'endUser'>> {
  const checks = new Checks();
  const found = await findReferences(context, directory, { ...given, actionCredentials: null, triggerCredentials: null }, checks);
  checks.end();
  return found;
}

/** Checks an item as far as this needs no transaction. */
async function prepareItem(context: MutationContext, given: ImportedConnection, malformed: readonly Issue[]): Promise<Item> {
  const { connector: _, endUser: __, actionCredentials, triggerCredentials, ...fields } = given;
  const checks = new Checks({ malformed });
  const checked = await checks.run(() => checkInput(connectionFields, fields));
  const entries = await prepareLists(context, { actionCredentials, triggerCredentials }, checks);
  return { given, malformed, checked, entries: entries ?? {}, error: await errorOf(() => checks.end()) };
}

/** Returns the error of an item. Throws errors that are not about the item. */
async function errorOf(run: () => unknown): Promise<GatewayError | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (isAboutItem(error)) return error;
    throw error;
  }
}

/** Returns what is wrong with items that cannot be imported, with their references to records that do not exist. */
async function refusalsOf(context: MutationContext, ref: IntegrationRef, items: readonly Item[]): Promise<ImportResult[]> {
  let directory: Directory | undefined;
  try {
    directory = await directoryOf(context, await requireIntegration(context, ref, ['integration']), items);
  } catch (error) {
    // What is known to be wrong stays so. Only the input as a whole goes before.
    if (!(error instanceof GatewayError) || error.code === 'INVALID_INTEGRATION') throw error;
  }
  const known = directory;
  return Promise.all(
    items.map(async ({ given, malformed, error }) => {
      const checks = new Checks({ malformed });
      checks.refuse(error);
      if (known) await findReferences(context, known, given, checks);
      return failed((await errorOf(() => checks.end())) ?? error!);
    }),
  );
}

/** The records that the items of a chunk refer to, read with few commands. */
interface Directory {
  readonly integration: IntegrationRecord;
  /** @throws NotFoundError, AlteredRecordError */
  readonly connectorOf: (ref: ConnectorRef) => ConnectorRecord;
  /** @throws NotFoundError, AlteredRecordError */
  readonly endUserOf: (ref: EndUserRef) => EndUserRecord;
  readonly credentials: ReadonlyMap<string, CredentialRecord>;
}

async function directoryOf(context: MutationContext, integration: IntegrationRecord, items: readonly Item[]): Promise<Directory> {
  const { store, viewer } = context;
  const ownId = viewer.confinedTo?.endUserId;
  const given = items.map((item) => item.given);
  const connectorRefs = given.flatMap(({ connector }) => connector ?? []);
  const endUserRefs: EndUserRef[] = [...given.flatMap(({ endUser }) => endUser ?? []), ...(ownId === undefined ? [] : [{ id: ownId }])];
  /** A record of another integration cannot be used, whether it exists or not. So nothing is read in others. */
  const isHere = ({ id, name }: IntegrationRef) =>
    id === undefined ? textsOf(formsOf(name!)).includes(integration.name) : id === integration.id;
  const within = { integrationId: integration.id };

  const connectors = [
    ...(await readIds(
      store.connectors,
      connectorRefs.flatMap(({ id }) => id ?? []),
    )),
    ...(await readAll(store.connectors, {
      ...within,
      name: connectorRefs.flatMap(({ inIntegration: named }) => (named && isHere(named.integration) ? textsOf(formsOf(named.name)) : [])),
    })),
  ];
  const endUsers = [
    ...(await readIds(
      store.endUsers,
      endUserRefs.flatMap(({ id }) => id ?? []),
    )),
    ...(await readAll(store.endUsers, {
      ...within,
      externalId: endUserRefs.flatMap(({ inIntegration: named }) => (named && isHere(named.integration) ? named.externalId : [])),
    })),
  ];
  const connectorsById = new Map(connectors.map((record) => [record.id, record]));
  const connectorsByName = new Map(connectors.map((record) => [record.name, record]));
  const endUsersById = new Map(endUsers.map((record) => [record.id, record]));
  const endUsersByExternalId = new Map(endUsers.map((record) => [record.externalId, record]));
  const credentials = await readIds(
    store.credentials,
    given.flatMap((item) => namedIn(item).map(({ id }) => id)),
  );
  return {
    integration,
    connectorOf({ id, inIntegration }) {
      const names = inIntegration && isHere(inIntegration.integration) ? textsOf(formsOf(inIntegration.name)) : [];
      const record = inIntegration ? names.map((name) => connectorsByName.get(name)).find(Boolean) : connectorsById.get(id!);
      return usable(record, integration, 'connector');
    },
    endUserOf({ id, inIntegration }) {
      const isKnown = inIntegration && isHere(inIntegration.integration);
      const record = inIntegration ? isKnown && endUsersByExternalId.get(inIntegration.externalId) : endUsersById.get(id!);
      return usable(record || undefined, integration, 'endUser', 'end user');
    },
    credentials: new Map(shown(context, 'credential', credentials).map((record) => [record.id, record])),
  };
}

/** Returns the record, if it is in the integration. @throws NotFoundError, AlteredRecordError */
function usable<R extends ConnectorRecord | EndUserRecord>(
  record: R | undefined,
  { id }: IntegrationRecord,
  member: 'connector' | 'endUser',
  label: string = member,
): R {
  if (record?.isAltered) throw new AlteredRecordError(label);
  if (record?.integrationId !== id) throw new NotFoundError(label, [member]);
  return record;
}

const textsOf = (forms: string | readonly string[]): readonly string[] => (typeof forms === 'string' ? [forms] : forms);

async function readIds<R extends BaseRecord>(records: RecordStore<R>, ids: readonly string[]): Promise<R[]> {
  return ids.length === 0 ? [] : records.evenAltered.byIds([...new Set(ids)]);
}

/** Reads the records that match, unless a list of the filter is empty. */
async function readAll<R extends BaseRecord>(
  records: RecordStore<R>,
  filter: Readonly<Record<string, string | readonly string[]>>,
): Promise<R[]> {
  const isEmpty = Object.values(filter).some((value) => value.length === 0);
  return isEmpty ? [] : records.evenAltered.all(filter as Filter<R>);
}

/** Finds the records that an item refers to. Whatever is wrong goes to the checks. */
async function findReferences(
  { viewer }: MutationContext,
  { integration, connectorOf, endUserOf, credentials }: Directory,
  given: ImportedConnection,
  checks: Checks,
): Promise<Pick<Planned, 'connector' | 'endUser'>> {
  const ownId = viewer.confinedTo?.endUserId;
  const meant = given.endUser ?? (ownId === undefined ? null : { id: ownId });
  const connector = (given.connector && (await checks.run(() => connectorOf(given.connector!)))) ?? null;
  const endUser = (meant && (await checks.run(() => endUserOf(meant)))) ?? null;
  const owner = { integrationId: integration.id, endUserId: endUser?.id ?? null };
  for (const { id, path } of namedIn(given)) {
    await checks.run(() => {
      const credential = credentials.get(id);
      if (credential?.isAltered) throw new AlteredRecordError('credential');
      // Whose it may be is only known with the end user.
      if (meant && !endUser) return refuseUnusable(credential && { ...credential, endUserId: null }, owner, path);
      return refuseUnusable(credential, owner, path);
    });
  }
  return { connector, endUser };
}

interface ChunkOptions {
  readonly exhausted: StorageLimitError | undefined;
  readonly replaceSecrets: boolean;
  readonly incomplete: IncompleteLists;
  /** The end users that can own no other connection with this many new credentials, or more, as earlier items have shown. */
  readonly full: readonly (Owned & { readonly error: StorageLimitError })[];
  readonly upsert: UpsertOptions;
  /** What the items that were tried would add to what an end user owns. */
  readonly tried: Map<Item, Owned>;
}

/** A connection that an end user would own, with a number of new credentials. */
interface Owned {
  readonly endUserId: string | undefined;
  readonly count: number;
}

/** Imports a chunk in the current transaction. Everything is read and checked before the first write. */
async function importChunk(
  context: MutationContext,
  integration: IntegrationRecord,
  items: readonly Item[],
  { exhausted, full, tried, replaceSecrets, incomplete, upsert }: ChunkOptions,
): Promise<ImportResult[]> {
  const results: ImportResult[] = [];
  const directory = await directoryOf(context, integration, items);
  const planned: Planned[] = [];
  for (const [index, item] of items.entries()) {
    const error = await errorOf(async () => {
      // An entry of an existing connection may name a credential that the viewer does not find: that is decided below.
      planned.push({ item, index, ...(await findOwners(context, directory, item)) });
    });
    if (error) results[index] = failed(error);
  }
  const existing = await existingOf(context, integration, planned);
  const named = [...existing.values()].flatMap(({ isAltered, credentialIds }) => (isAltered ? [] : credentialIds));
  const boundById = new Map(
    shown(context, 'credential', await readIds(context.store.credentials, named)).map((record) => [record.id, record]),
  );
  const visibility = await visibilityOf(context, [...new Set(named)]);
  /** What will be written to existing credentials. An item sees what earlier ones write. */
  const merges = new Map<string, CredentialMerge>();
  const credentialOf = (id: string, own: ReadonlyMap<string, CredentialMerge> = merges) => {
    const merge = own.get(id) ?? merges.get(id);
    const found = merge ? asMerged(merge) : (boundById.get(id) ?? directory.credentials.get(id));
    if (found?.isAltered) throw new AlteredRecordError('credential');
    return found;
  };

  const creations: Creation[] = [];
  const updates: Update[] = [];
  for (const plan of planned) {
    const record = existing.get(keyOf(integration, plan));
    const error = await errorOf(async () => {
      if (record?.isAltered) throw new AlteredRecordError('connection');
      expectVersion(record ?? ABSENT, upsert.expectedVersion);
      if (!record) return void creations.push(await creationOf(context, directory, plan, credentialOf));
      // An item that fails changes no credential.
      const own = new Map<string, CredentialMerge>();
      updates.push(
        await updateOf(context, { ...plan, record }, replaceSecrets, {
          kept: incomplete.get(plan.item.given) ?? [],
          boundById,
          mergeOf: (stored) => own.get(stored.id) ?? merges.get(stored.id) ?? noMerge(stored),
          merged: (merge) => void own.set(merge.stored.id, merge),
          read: {
            connector: plan.connector,
            // A hidden credential of another connection must look like one that does not exist.
            visibility: new Map(record.credentialIds.map((id) => [id, visibility.get(id)!])),
            credentialOf: (id) => credentialOf(id, own),
          },
        }),
      );
      for (const [id, merge] of own) merges.set(id, merge);
    });
    if (error) results[plan.index] = failed(error);
  }
  for (const creation of creations.splice(0)) {
    const owned = { endUserId: creation.endUser?.id, count: creation.credentials.length };
    tried.set(creation.item, owned);
    const over = full.find(({ endUserId, count }) => endUserId === owned.endUserId && owned.count >= count);
    const limit = exhausted ?? over?.error;
    if (limit) results[creation.index] = failed(limit);
    else creations.push(creation);
  }

  const done: Parameters<typeof recordAllAlso>[1][number][] = [];
  const createdIn = (id: string, { credentials }: Creation | ConnectionChange) => {
    const ids = credentials.map((credential) => credential.record.id);
    done.push({ action: 'createCredential', noun: 'credential', ids, object: { noun: 'connection', id } });
  };
  await insert(context, integration, creations, updates);
  for (const creation of creations) {
    const { index, record } = creation;
    results[index] = { status: 'CREATED', id: record.id, error: null };
    done.push({ action: 'createConnection', noun: 'connection', ids: [record.id], object: null });
    createdIn(record.id, creation);
  }
  const error = await errorOf(async () => {
    await saveMerges(context, [...merges.values()]);
    for (const { index, record, change, changed } of updates) {
      const isSame = !change || isUnchanged(await updateRecord(context, context.store.connections, record, change.changes));
      if (!isSame) done.push({ action: 'updateConnection', noun: 'connection', ids: [record.id], object: null });
      if (change) createdIn(record.id, change);
      done.push({ action: 'updateCredential', noun: 'credential', ids: changed, object: { noun: 'connection', id: record.id } });
      results[index] = { status: isSame && changed.length === 0 ? 'UNCHANGED' : 'UPDATED', id: record.id, error: null };
    }
  });
  if (error) throw new ItemError(error);
  if (creations.length + updates.length > 0) await recordAllAlso(context, done);
  if (upsert.onImported) for (const { id } of results) if (id !== null) await upsert.onImported(id);
  return results;
}

/** Returns what decides which connection an item is. */
function keyOf(integration: IntegrationRecord, { item, connector, endUser }: Pick<Planned, 'item' | 'connector' | 'endUser'>): string {
  return naturalKey(connector?.id ?? integration.id, endUser?.id ?? null, item.checked!.name);
}

function naturalKey(ownerId: string, endUserId: string | null, name: string): string {
  return `${ownerId} ${endUserId} ${name.normalize('NFC')}`;
}

/** Reads the connections that exist already, even altered ones, by their natural keys. Uses one command. */
async function existingOf(
  { store }: MutationContext,
  integration: IntegrationRecord,
  planned: readonly Planned[],
): Promise<Map<string, ConnectionRecord>> {
  const names = new Map<string, { readonly ownerId: string; readonly endUserId: string | null; readonly name: string[] }>();
  for (const { item, connector, endUser } of planned) {
    const [ownerId, endUserId] = [connector?.id ?? integration.id, endUser?.id ?? null];
    const filter = names.get(`${ownerId} ${endUserId}`) ?? { ownerId, endUserId, name: [] };
    names.set(`${ownerId} ${endUserId}`, filter);
    filter.name.push(...textsOf(formsOf(item.checked!.name)));
  }
  if (names.size === 0) return new Map();
  const asked = [...names.values()].map(
    (filter): PageOf<ConnectionRecord> => ({ filter, request: { limit: filter.name.length, sortField: 'name', descending: false } }),
  );
  const pages = await store.connections.evenAltered.pages(asked);
  return new Map(
    pages.flatMap(({ records }) => records.map((record) => [naturalKey(record.ownerId, record.endUserId, record.name), record])),
  );
}

/** Makes the records of a new connection. @throws ValidationError, NotFoundError, AlteredRecordError */
async function creationOf(
  context: MutationContext,
  directory: Directory,
  plan: Planned,
  credentialOf: ReadForChange['credentialOf'],
): Promise<Creation> {
  const { item, connector, endUser } = plan;
  const { integration } = directory;
  if (connector) refuseClientOf(context, connector, ['connector']);
  const checks = new Checks();
  await findReferences(context, directory, item.given, checks);
  checks.end();
  const owner = { integrationId: integration.id, endUserId: endUser?.id ?? null };
  const credentials: { record: CredentialRecord; prepared: PreparedCredential }[] = [];
  const bindingsOf = (list: List): Binding[] =>
    (item.entries[list] ?? []).map((entry) => {
      const authScheme = entry.authScheme ?? null;
      if ('id' in entry) return { credentialId: entry.id, authScheme };
      const record = unsealedCredential(context, owner, entry.create);
      credentials.push({ record, prepared: entry.create });
      return { credentialId: record.id, authScheme };
    });
  const bindings = { actionCredentials: bindingsOf('actionCredentials'), triggerCredentials: bindingsOf('triggerCredentials') };
  const record = newConnection({ ...newRecord(context), ...owner }, connector?.id ?? null, item.checked!, bindings);
  const created = new Map(credentials.map((each) => [each.record.id, each.record]));
  refuseBaseUrl(record, connector ?? null);
  await refuseForbiddenDestinations(context, destinations(record, connector), [], async (ids) =>
    ids.flatMap((id) => created.get(id) ?? credentialOf(id) ?? []),
  );
  return { ...plan, record, credentials, held: record.credentialIds.filter((id) => !created.has(id)) };
}

/**
 * Writes new connections, and the new credentials of all connections, with one command for each collection. Protects existing credentials from being
 * deleted at the same time. @throws ItemError
 */
async function insert(
  context: MutationContext,
  integration: IntegrationRecord,
  creations: readonly Creation[],
  updates: readonly Update[],
): Promise<void> {
  const { store } = context;
  if (creations.length > 0) {
    await store.slots.attach(integration.id);
    for (const id of new Set(creations.flatMap(({ connector }) => connector?.id ?? []))) await store.slots.attach(id);
    await store.endUsers.touchAll([...new Set(creations.flatMap(({ endUser }) => endUser?.id ?? []))]);
  }
  const all = [...creations, ...updates.flatMap(({ change }) => change ?? [])];
  await store.credentials.touchAll([...new Set(all.flatMap(({ held }) => held))]);
  await insertCredentials(
    context,
    all.flatMap(({ credentials }) => credentials),
  );
  if (creations.length === 0) return;
  const error = await errorOf(() =>
    orNameTaken('connection', scopeOfName(creations[0]!.record), () => store.connections.insertAll(creations.map(({ record }) => record))),
  );
  if (error) throw new ItemError(error);
}

/** What the update of a connection needs to know about credentials. */
interface Credentials {
  readonly boundById: ReadonlyMap<string, CredentialRecord>;
  /** Returns what will be written to a credential so far. */
  readonly mergeOf: (stored: CredentialRecord) => CredentialMerge;
  /** Takes what will be written to a credential now. */
  readonly merged: (merge: CredentialMerge) => void;
  readonly read: ReadForChange;
  /** The lists of the connection that stay as they are. */
  readonly kept: readonly List[];
}

/** Checks the changes of an existing connection and of its credentials. Writes nothing. @throws ValidationError, NotFoundError, AlteredRecordError */
async function updateOf(
  context: MutationContext,
  plan: Planned & { readonly record: ConnectionRecord },
  replaceSecrets: boolean,
  { boundById, mergeOf, merged: take, read, kept }: Credentials,
): Promise<Update> {
  const { item, record } = plan;
  const { connector: _, endUser: __, actionCredentials, triggerCredentials, name: ___, ...changes } = item.given;
  const sent: BindingLists = { actionCredentials, triggerCredentials };
  const checked = changed(record, checkChanges(connectionFields, changes));
  const entries: Partial<Record<List, Entry[]>> = {};
  const changedIds = new Set<string>();
  for (const list of lists) {
    if (!item.entries[list] || kept.includes(list)) continue;
    const own = ownCredentials(record, record[list], boundById);
    const merged: Entry[] = [];
    for (const [index, entry] of item.entries[list].entries()) {
      const isMatch = (each: CredentialRecord) =>
        'create' in entry && each.name === entry.create.common.name && isSameKind(each, entry.create);
      const match = own.find(isMatch);
      if (!match) {
        merged.push(entry);
        continue;
      }
      own.splice(own.indexOf(match), 1);
      const given = sent[list]![index]!.credential.create!;
      const merge = await at([list, index, 'credential', 'create'], () => planMerge(context, mergeOf(match), given, replaceSecrets));
      if (!merge.isSame) {
        changedIds.add(match.id);
        take(merge);
      }
      merged.push({ id: match.id, authScheme: entry.authScheme ?? null });
    }
    const asBindings = merged.map((entry) => ('id' in entry ? { credentialId: entry.id, authScheme: entry.authScheme ?? null } : null));
    if (!isSameValue(record[list], asBindings)) entries[list] = merged;
  }
  const isSame = Object.keys({ ...checked, ...entries }).length === 0;
  const change = isSame ? undefined : await planChange(context, record, checked, entries, read);
  return { ...plan, record, change, changed: [...changedIds] };
}

/** Returns the values that differ from those of the record. */
function changed<V extends object>(record: ConnectionRecord, values: V): Partial<V> {
  const stored: Readonly<Record<string, unknown>> = { ...record };
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => !isSameValue(stored[name], value))) as Partial<V>;
}

/** Returns the credentials of bindings that belong to the owner of their connection, in the order of the bindings. Others can be used by more. */
function ownCredentials(
  { endUserId }: ConnectionRecord,
  bindings: readonly Binding[],
  boundById: ReadonlyMap<string, CredentialRecord>,
): CredentialRecord[] {
  const bound = [...new Set(bindings.map(({ credentialId }) => credentialId))].flatMap((id) => boundById.get(id) ?? []);
  return bound.filter((record) => !record.isAltered && record.endUserId === endUserId);
}
