import type { Noun } from '../access/scopes.ts';
import { ConflictError, type NotFoundError } from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import { type Actor, type BaseRecord, newId, type RecordReads, type RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';
import { isSameValue, isStillAbsent } from './same-value.ts';

/** The members of an input that identify the record and its expected version. */
export type Target<N extends Noun, Ref> = { readonly [K in N]: Ref } & { readonly expectedVersion?: number | null };

/** Returns the initial fields of a new entry of a log or a list, which names who wrote it elsewhere or not at all. */
export function newEntry({ viewer, now }: DomainContext) {
  const createdAt = now();
  return { id: newId(), organizationId: viewer.organizationId, version: 1, createdAt, updatedAt: createdAt };
}

/** Returns the initial fields of a new record of a noun: the viewer has created it, and is the last who changed it. */
export function newRecord(context: DomainContext) {
  const createdBy = actorOf(context);
  return { ...newEntry(context), createdBy, updatedBy: createdBy };
}

/** Returns who writes records in this context. */
export function actorOf({ viewer: { kind, subject } }: DomainContext): Actor {
  return { kind, subject };
}

/**
 * The last argument of a function that finds a record: it also finds records that were altered outside of the gateway. Only queries and
 * deletions pass it. Without it, an altered record is refused, so that nothing is decided by what it says.
 */
export type EvenAltered = 'evenAltered';

/** Returns the functions that read records: those that refuse altered records, unless told otherwise. */
export function readsOf<R extends BaseRecord>(records: RecordStore<R>, altered?: EvenAltered): RecordReads<R> {
  return altered ? records.evenAltered : records;
}

/** @throws ConflictError when the expected version is not the version of the record */
export function expectVersion(record: { readonly version: number }, expected: number | null | undefined): void {
  if (expected != null && expected !== record.version) {
    throw new ConflictError(`The current version of the object is ${record.version}.`, ['expectedVersion'], record.version);
  }
}

/** A record that an upsert has created or found, and whether it has created it. */
export interface Upserted<R> {
  readonly record: R;
  readonly created: boolean;
}

/** The version of a record that does not exist: an upsert that expects it creates one, or fails. */
export const ABSENT = { version: 0 } as const;

/** How often an upsert is tried. */
const UPSERT_TRIES = 3;

/**
 * Runs an upsert, whose function is one transaction, again if somebody else has created or changed the record at the same time.
 * @throws ConflictError
 */
export async function upserting<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      const isRace = error instanceof DuplicateKeyError || (error instanceof ConflictError && error.currentVersion === null);
      if (!isRace) throw error;
      if (attempt === UPSERT_TRIES) throw new ConflictError('Another request has written the same at the same time.', []);
    }
  }
}

/** Returns the record, or throws the error if there is none. */
export function required<T>(record: T | null | undefined, error: NotFoundError): T {
  if (record === null || record === undefined) throw error;
  return record;
}

/** Writes a record with a unique name. @throws ConflictError when the name is already in use */
export async function orNameTaken<T>(noun: string, within: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof DuplicateKeyError)) throw error;
    throw new ConflictError(`${/^[aeiou]/i.test(noun) ? 'An' : 'A'} ${noun} with this name already exists in the ${within}.`, ['name']);
  }
}

/** Records that an update returned without writing them. */
const unchanged = new WeakSet<object>();

/** Returns whether an update has returned this record because its changes change nothing. */
export function isUnchanged(record: object): boolean {
  return unchanged.has(record);
}

/** Marks a result as one that changes nothing. */
export function asUnchanged<T extends object>(result: T): T {
  unchanged.add(result);
  return result;
}

/**
 * Writes changes to a record that was read in the same transaction, and that the viewer made them. Returns the changed record. If every value is stored already, nothing is
 * written: the version and `updatedAt` stay, and `isUnchanged` tells.
 *
 * @throws ConflictError when the record has changed since it was read; AlteredRecordError when it is only shown
 */
export async function updateRecord<R extends BaseRecord>(
  context: DomainContext,
  records: Pick<RecordStore<R>, 'update'>,
  record: R,
  changes: Partial<Omit<R, keyof BaseRecord>>,
  updatedAt: Date = context.now(),
): Promise<R> {
  if (!record.isAltered && hasAlready(record, changes)) return asUnchanged({ ...record });
  return records.update(record, changes, { updatedAt, updatedBy: actorOf(context) });
}

/** Returns whether a record has all of these values. */
export function hasAlready(record: object, values: object): boolean {
  const stored = record as Readonly<Record<string, unknown>>;
  return Object.entries(values).every(([name, value]) => isSameValue(stored[name], value) || isStillAbsent(stored[name], value));
}
