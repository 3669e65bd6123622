import type { Noun } from '../access/scopes.ts';
import { ConflictError, type NotFoundError } from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import { type BaseRecord, newId, type RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';

/** The members of an input that say which record it changes, and which version is expected. */
export type Target<N extends Noun, Ref> = { readonly [K in N]: Ref } & { readonly expectedVersion?: number | null };

/** The fields that every new record begins with. */
export function newRecord({ viewer, now }: DomainContext) {
  const createdAt = now();
  return { id: newId(), organizationId: viewer.organizationId, version: 1, createdAt, updatedAt: createdAt };
}

/** @throws ConflictError when the caller expected another version than the one that was read */
export function expectVersion(record: { readonly version: number }, expected: number | null | undefined): void {
  if (expected != null && expected !== record.version) {
    throw new ConflictError(`The object is at version ${record.version} by now.`, ['expectedVersion'], record.version);
  }
}

/** The record, or the error. */
export function required<T>(record: T | null | undefined, error: NotFoundError): T {
  if (record === null || record === undefined) throw error;
  return record;
}

/** Writes a record whose name must be unique. @throws ConflictError when it is not */
export async function orNameTaken<T>(noun: string, within: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof DuplicateKeyError)) throw error;
    throw new ConflictError(`There is ${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun} of this name in the ${within} already.`, ['name']);
  }
}

/**
 * Writes changes to a record that was read in the same transaction, and gives back what it is then.
 * @throws ConflictError when the record has another version by now
 */
export async function updateRecord<R extends BaseRecord>(
  { now }: DomainContext,
  records: Pick<RecordStore<R>, 'update'>,
  record: R,
  changes: Partial<Omit<R, keyof BaseRecord>>,
  updatedAt: Date = now(),
): Promise<R> {
  await records.update(record.id, record.version, changes, updatedAt);
  return { ...record, ...changes, version: record.version + 1, updatedAt };
}
