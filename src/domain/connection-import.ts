import { GatewayError, type Issue, NoTimeLeftError, StorageLimitError, ValidationError } from '../errors.ts';
import { refuseUnknown } from '../fields/check.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import { type Owned, writeItems } from './connection-batch.ts';
import type { List } from './connection-entries.ts';
import {
  type Directory,
  directoryOf,
  errorOf,
  findOwners,
  findReferences,
  type ImportedConnection,
  type Item,
  keyOf,
  prepareItem,
} from './connection-item.ts';
import { checkNumber, failed, forEachItem, type ImportResult, ItemError, importInChunks, refuseIfAllFailed } from './import.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { asUnchanged, type Upserted, upserting } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { Checks } from './validation.ts';

export type { ImportedConnection };

export interface ConnectionImportInput {
  readonly integration: IntegrationRef;
  readonly connections: readonly ImportedConnection[];
  readonly replaceSecrets?: boolean | null;
}

/**
 * Creates a connection, or changes the one that has the name, with the same connector and end user. A new credential that has the name and the kind of
 * one in the same list of the existing connection, is that one. Sending the same again changes nothing but given secrets.
 *
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
  const { integration: ref, replaceSecrets, expectedVersion, ...given } = input;
  const { malformed = [] } = context;
  const isOfItem = ({ path: [first] }: Issue) => first !== 'integration';
  const checks = new Checks({ malformed: malformed.filter((issue) => !isOfItem(issue)) });
  const own = forItems(context);
  const item = await prepareItem(own, { given, malformed: malformed.filter(isOfItem), expectedVersion });

  const write = async () => {
    const integration = await requireIntegration(own, ref, ['integration']);
    const [result] = await writeItems(own, integration, [item], { replaceSecrets: replaceSecrets ?? true });
    const { status, error } = result!;
    if (error) throw error;
    const id = result!.id!;
    const done = { id, record: (await own.store.connections.one({ id }))!, created: status === 'CREATED' };
    return status === 'UNCHANGED' ? asUnchanged(done) : done;
  };
  const change = async () => {
    if (item.error) throw (await refusalsOf(own, ref, [item]))[0]!;
    return upserting(async () => {
      if (own.isOver?.()) throw new NoTimeLeftError('for this mutation, which was not carried out. Send it again.');
      try {
        return await mutate(own, write);
      } catch (error) {
        throw error instanceof ItemError ? error.cause : error;
      }
    });
  };
  const refuseItem = () => {
    if (item.error) throw item.error;
  };
  const { record, created } = await checks.thenMake(change, [refuseItem, () => requireIntegration(own, ref, ['integration'])]);
  return { record, created };
}

/**
 * Does the same for many connections, but keeps the secrets of existing credentials unless told otherwise: sending the same again changes nothing.
 * Returns a result for each item, in their order.
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
  const own = forItems(context);
  const items = await forEachItem(connections, (given, index) => {
    const ofThis = malformed.filter((issue) => isOfItem(issue) && issue.path[1] === index);
    const inItem = ofThis.map(({ path, message }) => ({ path: path.slice(2), message }));
    return prepareItem(own, { given, malformed: inItem, kept: incomplete.get(given) });
  });
  const refuseItems = () => {
    for (const [index, { error }] of items.entries()) if (error) checks.refuse(error.within(['connections', index]));
  };
  return checks.thenMake(
    () => importItems(own, ref, items, replaceSecrets === true),
    [refuseItems, () => requireIntegration(own, ref, ['integration'])],
  );
}

/**
 * Returns the context in which the items of a mutation are checked and written. Equal key files are read once, and what was read before the
 * transaction takes no time in it.
 */
function forItems(context: MutationContext): MutationContext {
  const keyFiles = context.keyFiles();
  return { ...context, malformed: [], keyFiles: () => keyFiles };
}

/** Imports items that were checked. @throws InvalidIntegrationError */
async function importItems(
  own: MutationContext,
  ref: IntegrationRef,
  checked: readonly Item[],
  replaceSecrets: boolean,
): Promise<readonly ImportResult[]> {
  const full: (Owned & { readonly error: StorageLimitError })[] = [];
  const tried = new Map<Item, Owned>();
  const items = await withoutRepeated(own, ref, checked);
  const sound = items.filter(({ error }) => !error);
  const imported = await importInChunks(
    own,
    sound,
    async (chunk, exhausted) => {
      const integration = await requireIntegration(own, ref, ['integration']);
      return { objectId: integration.id, results: await writeItems(own, integration, chunk, { replaceSecrets, exhausted, full, tried }) };
    },
    (item, error) => {
      const owned = tried.get(item);
      if (owned && error instanceof StorageLimitError && error.limit === 'MAX_OWNED') full.push({ ...owned, error });
    },
  );
  const unsound = items.filter(({ error }) => error);
  const refused = unsound.length === 0 ? [] : await refusalsOf(own, ref, unsound);
  return items.map((item) => (item.error ? failed(refused[unsound.indexOf(item)]!) : imported[sound.indexOf(item)]!));
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
  const directory = await directoryOf(
    context,
    integration,
    [...repeated].map(({ given }) => given),
  );
  const taken = new Set<string>();
  const result: Item[] = [];
  for (const item of items) {
    const error =
      repeated.has(item) &&
      (await errorOf(async () => {
        const key = keyOf(integration, item, await findOwners(context, directory, item.given));
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

/** Returns what is wrong with items that cannot be imported, with their references to records that do not exist. */
async function refusalsOf(context: MutationContext, ref: IntegrationRef, items: readonly Item[]): Promise<GatewayError[]> {
  let directory: Directory | undefined;
  try {
    directory = await directoryOf(
      context,
      await requireIntegration(context, ref, ['integration']),
      items.map(({ given }) => given),
    );
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
      return (await errorOf(() => checks.end())) ?? error!;
    }),
  );
}
