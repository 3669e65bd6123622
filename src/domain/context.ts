import type { Noun } from '../access/scopes.ts';
import type { Viewer } from '../access/viewer.ts';
import { ConflictError, type NotFoundError, UnauthenticatedError } from '../errors.ts';
import { confined } from '../store/confined.ts';
import { DuplicateKeyError } from '../store/database.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';

/** What the gateway works with, whoever asks: what is kept, and what time it is. */
export interface BaseContext {
  readonly store: Store;
  readonly now: () => Date;
}

/** What every domain function gets first: the above, and who asks. */
export interface DomainContext extends BaseContext {
  readonly viewer: Viewer;
}

/** Where a viewer acts: a viewer who is limited finds nothing beyond the limit, whatever is asked for. */
export function contextOf(outer: BaseContext, viewer: Viewer): DomainContext {
  return { ...outer, viewer, store: viewer.limitedTo ? confined(outer.store, viewer.limitedTo) : outer.store };
}

/** What is being done, for the audit log: the name of a mutation, and the noun of what it is done to. Null: what no caller has an id of. */
export interface Action {
  readonly name: string;
  readonly noun: Noun | null;
  /** Where the request came from. Null: from within the process. */
  readonly address: string | null;
  readonly requestId: string | null;
}

/** The context of a function that changes something. Without an action, which the audit log is told, nothing can be changed. */
export interface MutationContext extends DomainContext {
  readonly action: Action;
}

/** What was done something to: a record, or the id of one that is gone. */
type Done = string | { readonly id: string };

/**
 * Runs a mutation: all of its writes and its entry in the audit log in one transaction, or none. The organization is recorded by its first
 * mutation.
 *
 * @throws UnauthenticatedError when the organization is deleted: its tokens outlive it, and no longer work
 */
export async function mutate<T extends Done>(context: MutationContext, run: () => Promise<T>, reason: string | null = null): Promise<T> {
  const { viewer, store, now } = context;
  await store.organizations.ensure(viewer.organizationId, now());
  return store.transaction(async () => {
    if ((await store.organizations.state(viewer.organizationId)) === 'deleted') {
      throw new UnauthenticatedError('The organization of this token has been deleted.');
    }
    const done = await run();
    await recordDone(context, typeof done === 'string' ? done : done.id, reason);
    return done;
  });
}

/** Writes that something was done into the audit log, in the transaction that did it. */
export async function recordDone(context: MutationContext, objectId: string | null, reason: string | null = null): Promise<void> {
  const { action, viewer, store } = context;
  await store.audit.insert(viewer.organizationId, {
    ...newRecord(context),
    viewerKind: viewer.kind,
    subject: viewer.subject,
    address: action.address,
    requestId: action.requestId,
    action: action.name,
    outcome: 'SUCCESS',
    objectNoun: action.noun,
    objectId,
    reason,
    count: 1,
    sequence: null,
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
    throw new ConflictError(`There is ${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun} of this name in the ${within} already.`, [
      'input',
      'name',
    ]);
  }
}
