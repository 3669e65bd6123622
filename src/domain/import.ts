// What all imports have in common: chunks, one transaction each, and a result for each item.

import {
  AlteredRecordError,
  ConflictError,
  GatewayError,
  InvalidIntegrationError,
  type Issue,
  NoTimeLeftError,
  NotFoundError,
  type Path,
  StorageLimitError,
  UnavailableError,
  ValidationError,
} from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { asUnchanged } from './records.ts';

/** The maximum number of items of one import. */
export const IMPORT_MAX = 1_000;
/**
 * The number of items in one transaction. More save little, and a transaction that is repeated repeats all of them: at a conflict with another
 * one, or to leave out an item that the transaction fails with.
 */
const ITEMS_PER_TRANSACTION = 100;
/**
 * How often the transactions of an import are repeated for parts of their items, to find those that the database refuses. Afterwards, a transaction that
 * fails fails for all of its items: an import must not send more commands than its cost pays for.
 */
const REPETITIONS_MAX = 100;
/** The number of items that are checked at the same time. Reading a key file waits for another thread. */
const CHECKED_AT_ONCE = 8;

/** What has become of an item. */
export type ImportStatus = 'CREATED' | 'UPDATED' | 'UNCHANGED' | 'FAILED';

/** The result of one item. */
export interface ImportResult {
  readonly status: ImportStatus;
  /** The id of the record. Null if the item failed. */
  readonly id: string | null;
  /** Why the item failed, with paths relative to the item; otherwise null. */
  readonly error: GatewayError | null;
}

/** What has become of a chunk. */
export interface ImportedChunk {
  /** The id of the record that the audit entry of the chunk names. */
  readonly objectId: string;
  /** In the order of the items. */
  readonly results: readonly ImportResult[];
}

/**
 * Imports a chunk in the current transaction. `exhausted` is set when an earlier item has shown that the organization can store no more. May throw
 * `ItemError`.
 */
export type ImportChunk<Item> = (items: readonly Item[], exhausted: StorageLimitError | undefined) => Promise<ImportedChunk>;

const errorsOfItems = [ValidationError, NotFoundError, InvalidIntegrationError, ConflictError, AlteredRecordError, StorageLimitError];

/**
 * Returns whether an error is about the item that caused it, so that the other items can be imported without it. Any other error ends the import:
 * the gateway or its database cannot work at the moment, the viewer may not do it, or it is a bug.
 */
export function isAboutItem(error: unknown): error is GatewayError {
  return errorsOfItems.some((each) => error instanceof each);
}

/** One item of a transaction fails, after some of it was written. The transaction is run again without the item. */
export class ItemError extends Error {
  override readonly cause: GatewayError;
  constructor(cause: GatewayError) {
    super('An item of an import fails.');
    this.cause = cause;
  }
}

/** Ends a transaction in which no item succeeds, so that nothing is written. */
class NothingImported extends Error {}

export function failed(error: GatewayError): ImportResult {
  return { status: 'FAILED', id: null, error };
}

/** Runs a function for each item, some of them at the same time. */
export async function forEachItem<Item, Result>(
  items: readonly Item[],
  run: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += CHECKED_AT_ONCE) {
    const group = items.slice(start, start + CHECKED_AT_ONCE);
    results.push(...(await Promise.all(group.map((item, index) => run(item, start + index)))));
  }
  return results;
}

/**
 * Imports items in chunks. Each chunk is one transaction: all of its items that succeed are committed together, with their audit entries, or none. An
 * item that fails is left out, and the others of its chunk are imported. If the database stops responding after a chunk was committed, or the operation has
 * no time left, the remaining items fail with that error.
 *
 * `onRefused` is told of an item that the database refuses, before the
 * next one is tried.
 *
 * @throws UnavailableError when nothing was committed; whatever else is not about single items
 */
export async function importInChunks<Item>(
  context: MutationContext,
  items: readonly Item[],
  importChunk: ImportChunk<Item>,
  onRefused?: (item: Item, error: GatewayError) => void,
): Promise<ImportResult[]> {
  const results: ImportResult[] = [];
  let exhausted: StorageLimitError | undefined;
  let isCommitted = false;
  let unavailable: UnavailableError | undefined;
  let repetitions = 0;

  async function run(chunk: readonly Item[]): Promise<void> {
    if (unavailable) {
      results.push(...chunk.map(() => failed(unavailable!.of('NOT_EXECUTED'))));
      return;
    }
    if (context.isOver?.()) {
      results.push(...chunk.map(() => failed(new NoTimeLeftError())));
      return;
    }
    let own: readonly ImportResult[] = [];
    try {
      await mutate(context, async () => {
        const imported = await importChunk(chunk, exhausted);
        own = imported.results;
        if (own.every(({ status }) => status === 'FAILED')) throw new NothingImported();
        const object = { id: imported.objectId };
        return own.every(({ status }) => status === 'UNCHANGED' || status === 'FAILED') ? asUnchanged(object) : object;
      });
      isCommitted = true;
    } catch (error) {
      const cause = error instanceof ItemError ? error.cause : error;
      if (error instanceof UnavailableError && isCommitted) {
        unavailable = error;
        own = chunk.map(() => failed(error));
      } else if (!(error instanceof NothingImported)) {
        if (!canBeOfItem(error)) throw error;
        if (chunk.length > 1 && repetitions < REPETITIONS_MAX) return splitting(chunk);
        if (cause instanceof StorageLimitError && cause.limit !== 'MAX_OWNED') exhausted = cause;
        const conflict = new ConflictError('Another request has written the same at the same time.', []);
        const many = new ConflictError(
          'Too many items of the import fail. Nothing is wrong with this one, as far as is known. Import it again.',
          [],
        );
        const ofOne = cause instanceof GatewayError ? cause : conflict;
        const ofEach = chunk.length === 1 || cause instanceof StorageLimitError ? ofOne : many;
        if (chunk.length === 1) onRefused?.(chunk[0]!, ofOne);
        own = chunk.map(() => failed(ofEach));
      }
    }
    results.push(...own);
  }

  /** Runs the halves one by one: which item fails is not known, or what the others have written before must not stay without it. */
  async function splitting(chunk: readonly Item[]): Promise<void> {
    repetitions += 2;
    const half = Math.ceil(chunk.length / 2);
    await run(chunk.slice(0, half));
    await run(chunk.slice(half));
  }

  for (let start = 0; start < items.length; start += ITEMS_PER_TRANSACTION) await run(items.slice(start, start + ITEMS_PER_TRANSACTION));
  return results;
}

/**
 * Returns whether a transaction that ended with this error can succeed without one of its items. Any other error that `isAboutItem` accepts is about
 * the input as a whole, if it ends a transaction.
 */
function canBeOfItem(error: unknown): boolean {
  return error instanceof ItemError || error instanceof StorageLimitError || error instanceof DuplicateKeyError;
}

/** Refuses lists that are empty or too long. @throws ValidationError */
export function checkNumber(items: readonly unknown[], name: string): void {
  if (items.length >= 1 && items.length <= IMPORT_MAX) return;
  throw new ValidationError([{ path: [name], message: `must have 1 to ${IMPORT_MAX} items` }]);
}

/**
 * Fails if every item has failed, as a mutation that changes nothing does: with the only error, or with everything that is wrong.
 * @throws GatewayError
 */
export function refuseIfAllFailed(results: readonly ImportResult[], name: string): void {
  const errors = results.flatMap(({ error }, index) => (error ? [error.within([name, index])] : []));
  const [first] = errors;
  if (!first || errors.length < results.length) return;
  // Nothing about a single item: such as a limit of the organization.
  const other = errors.find((error) => issuesOf(error, []).length === 0);
  if (errors.length === 1 || other) throw other ?? first;
  throw new ValidationError(errors.flatMap((error) => issuesOf(error, [])));
}

/** The error of an item, and the index of the item. */
export interface FailedItem {
  readonly index: number;
  readonly error: GatewayError;
}

/** Returns what is wrong with an item: the broken rules, or the only thing, at the path that the error names. */
export function issuesOf(error: GatewayError, path: Path): readonly Issue[] {
  const about = error.within(path);
  if (about instanceof ValidationError) return about.issues;
  return 'path' in about ? [{ path: about.path as Path, message: about.message }] : [];
}
