import type { Noun } from '../access/scopes.ts';
import { UnauthenticatedError } from '../errors.ts';
import type { DomainContext } from './context.ts';
import { newRecord } from './records.ts';

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
  const { store, now } = context;
  await store.organization.ensure(now());
  return store.transaction(async () => {
    if ((await store.organization.state()) === 'deleted') {
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
  await store.audit.insert({
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
