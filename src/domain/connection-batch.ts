import { AlteredRecordError, type StorageLimitError } from '../errors.ts';
import { checkChanges } from '../fields/check.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { PageOf } from '../store/records.ts';
import { refuseForbiddenDestinations } from './binding.ts';
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
import { type BindingLists, type Entry, type List, lists } from './connection-entries.ts';
import {
  type Directory,
  directoryOf,
  errorOf,
  findOwners,
  findReferences,
  type Item,
  keyOf,
  naturalKey,
  type Owners,
  readIds,
  textsOf,
} from './connection-item.ts';
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
import { failed, type ImportResult, ItemError } from './import.ts';
import { type MutationContext, recordAllAlso } from './mutate.ts';
import { shown } from './reading.ts';
import { ABSENT, expectVersion, isUnchanged, newRecord, orNameTaken, updateRecord } from './records.ts';
import { formsOf } from './references.ts';
import { isSameValue } from './same-value.ts';
import { at, Checks } from './validation.ts';

/** Writes connections with their credentials in one transaction: one of an upsert, or up to a hundred of an import. */

export interface WriteOptions {
  /** Whether given secrets replace those of credentials that exist already. */
  readonly replaceSecrets: boolean;
  /** Set when earlier items have shown that the organization can store no more: then none is created. */
  readonly exhausted?: StorageLimitError | undefined;
  /** The end users that can own no other connection with this many new credentials, or more, as earlier items have shown. */
  readonly full?: readonly (Owned & { readonly error: StorageLimitError })[];
  /** Gets what the items that are tried would add to what an end user owns. */
  readonly tried?: Map<Item, Owned>;
}

/** A connection that an end user would own, with a number of new credentials. */
export interface Owned {
  readonly endUserId: string | undefined;
  readonly count: number;
}

/** An item whose references were found. */
interface Planned extends Owners {
  readonly item: Item;
  readonly index: number;
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
 * Writes connections in the current transaction: those that exist are updated, and the others created. Everything is read and checked before the
 * first write. Returns a result for each item, with the paths of errors in the item.
 *
 * @throws ItemError when an item cannot be written: the transaction must end
 */
export async function writeItems(
  context: MutationContext,
  integration: IntegrationRecord,
  items: readonly Item[],
  { replaceSecrets, exhausted, full = [], tried }: WriteOptions,
): Promise<ImportResult[]> {
  const results: ImportResult[] = [];
  const directory = await directoryOf(
    context,
    integration,
    items.map(({ given }) => given),
  );
  const planned: Planned[] = [];
  for (const [index, item] of items.entries()) {
    const error = await errorOf(async () => {
      // An entry of an existing connection may name a credential that the viewer does not find: that is decided below.
      planned.push({ item, index, ...(await findOwners(context, directory, item.given)) });
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
    const record = existing.get(keyOf(integration, plan.item, plan));
    const error = await errorOf(async () => {
      if (record?.isAltered) throw new AlteredRecordError('connection');
      expectVersion(record ?? ABSENT, plan.item.expectedVersion);
      if (!record) return void creations.push(await creationOf(context, directory, plan, credentialOf));
      // An item that fails changes no credential.
      const own = new Map<string, CredentialMerge>();
      updates.push(
        await updateOf(context, { ...plan, record }, replaceSecrets, {
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
    tried?.set(creation.item, owned);
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
  return results;
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
}

/** Checks the changes of an existing connection and of its credentials. Writes nothing. @throws ValidationError, NotFoundError, AlteredRecordError */
async function updateOf(
  context: MutationContext,
  plan: Planned & { readonly record: ConnectionRecord },
  replaceSecrets: boolean,
  { boundById, mergeOf, merged: take, read }: Credentials,
): Promise<Update> {
  const { item, record } = plan;
  const { connector: _, endUser: __, actionCredentials, triggerCredentials, name: ___, ...changes } = item.given;
  const sent: BindingLists = { actionCredentials, triggerCredentials };
  const checked = changed(record, checkChanges(connectionFields, changes));
  const entries: Partial<Record<List, Entry[]>> = {};
  const changedIds = new Set<string>();
  for (const list of lists) {
    if (!item.entries[list] || item.kept?.includes(list)) continue;
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
