import type { Noun } from '../access/scopes.ts';
import { type Issue, UnauthenticatedError, UnavailableError, ValidationError } from '../errors.ts';
import type { DomainContext } from './context.ts';
import { newRecord } from './records.ts';

/** The current action, for the audit log: the name of a mutation, and the noun of the record. Null if the object has no global id. */
export interface Action {
  readonly name: string;
  readonly noun: Noun | null;
  /** The network address of the client. Null if the gateway acts by itself. */
  readonly address: string | null;
  readonly requestId: string | null;
}

/** The context of a function that changes data. It requires an action, so that every change gets an audit entry. */
export interface MutationContext extends DomainContext {
  readonly action: Action;
  /** The ids in the input that no record can have. A function that uses `Checks` reports them with everything else that is wrong. */
  readonly malformed?: readonly Issue[];
}

/** The record that a mutation affected, or the id of a deleted record. */
type Done = string | { readonly id: string };

/**
 * Runs a mutation: its writes and its audit entry are one transaction. The first mutation of an organization creates the organization's
 * record.
 *
 * @throws ValidationError when the input has malformed ids
 * @throws UnauthenticatedError when the organization is deleted but its tokens have not expired
 * @throws UnavailableError when the audit log must be streamed to a sink, and the sink fails
 * @throws UnavailableError when the database does not respond; its outcome says whether the transaction was committed
 */
export async function mutate<T extends Done>(context: MutationContext, run: () => Promise<T>, reason: string | null = null): Promise<T> {
  const { store, now, malformed = [] } = context;
  if (malformed.length > 0) throw new ValidationError(malformed);
  context.auditStream?.requireWorking(context.viewer.organizationId);
  await store.organization.ensure(now()).catch((error: unknown) => {
    throw error instanceof UnavailableError ? error.of('NOT_EXECUTED') : error;
  });
  return store.transaction(async () => {
    if ((await store.organization.state()) === 'deleted') {
      throw new UnauthenticatedError('The organization of this token has been deleted.');
    }
    const done = await run();
    await recordDone(context, typeof done === 'string' ? done : done.id, reason);
    return done;
  });
}

/** Writes the audit entry of an action, in the same transaction as the action. */
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
