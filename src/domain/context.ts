import type { Viewer } from '../access/viewer.ts';
import { ConflictError, type NotFoundError, UnauthenticatedError } from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';

/** What every domain function gets first: who asks, what is kept, what time it is. */
export interface DomainContext {
  readonly viewer: Viewer;
  readonly store: Store;
  readonly now: () => Date;
}

/**
 * Runs a mutation: all of its writes in one transaction, or none. The organization is recorded by its first mutation.
 *
 * @throws UnauthenticatedError when the organization is deleted: its tokens outlive it, and no longer work
 */
export async function mutate<T>({ viewer, store, now }: DomainContext, run: () => Promise<T>): Promise<T> {
  await store.organizations.ensure(viewer.organizationId, now());
  return store.transaction(async () => {
    if ((await store.organizations.state(viewer.organizationId)) === 'deleted') {
      throw new UnauthenticatedError('The organization of this token has been deleted.');
    }
    return run();
  });
}

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
    throw new ConflictError(`There is a ${noun} of this name in the ${within} already.`, ['input', 'name']);
  }
}
