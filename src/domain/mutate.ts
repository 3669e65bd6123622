import { encodeId } from '../access/global-id.ts';
import type { Noun } from '../access/scopes.ts';
import {
  type ErrorCode,
  IdempotencyKeyInUseError,
  type Issue,
  UnauthenticatedError,
  UnavailableError,
  ValidationError,
} from '../errors.ts';
import type { AuditRecord } from '../store/audit.ts';
import type { Reservation } from '../store/idempotency.ts';
import type { DomainContext } from './context.ts';
import { isUnchanged, newEntry } from './records.ts';

/** The current action, for the audit log: the name of a mutation, and the noun of the record. Null if the object has no global id. */
export interface Action {
  readonly name: string;
  readonly noun: Noun | null;
  /** The network address of the client. Null if the gateway acts by itself. */
  readonly address: string | null;
  readonly requestId: string | null;
  /** The idempotency key that the operation has reserved. Absent without one. */
  readonly reservation?: Reservation | undefined;
}

/** The context of a function that changes data. It requires an action, so that every change gets an audit entry. */
export interface MutationContext extends DomainContext {
  readonly action: Action;
  /** The ids in the input that no record can have. A function that uses `Checks` reports them with everything else that is wrong. */
  readonly malformed?: readonly Issue[];
  /** Whether it is time to end: the time limit of the operation is close. Asked between the transactions of a mutation that has several. */
  readonly isOver?: () => boolean;
  /** Counts a part of the mutation that is refused, for the audit log, though the mutation itself succeeds. */
  readonly refused?: (code: ErrorCode) => void;
}

/** The record that a mutation affected, or the id of a deleted record. */
type Done = string | { readonly id: string };

/**
 * Runs a mutation: its writes and its audit entry are one transaction. The first mutation of an organization creates the organization's
 * record. `reason` is that of the audit entry, or returns it after the writes.
 *
 * @throws ValidationError when the input has malformed ids
 * @throws UnauthenticatedError when the organization is deleted but its tokens have not expired
 * @throws IdempotencyKeyInUseError when another attempt has taken the idempotency key, because this one took too long
 * @throws UnavailableError when the audit log must be streamed to a sink, and the sink fails
 * @throws UnavailableError when the database does not respond; its outcome says whether the transaction was committed
 */
export async function mutate<T extends Done>(
  context: MutationContext,
  run: () => Promise<T>,
  reason: string | null | ((done: T) => string) = null,
): Promise<T> {
  const { store, now, malformed = [] } = context;
  if (malformed.length > 0) throw new ValidationError(malformed);
  context.auditStream?.requireWorking(context.viewer.organizationId);
  await beforeChanges(() => store.organization.ensure(now()));
  return store.transaction(async () => {
    if ((await store.organization.begin()) === 'deleted') {
      throw new UnauthenticatedError('The organization of this token has been deleted.');
    }
    const done = await run();
    const { reservation } = context.action;
    if (reservation && !(await store.idempotency.commit(reservation))) throw new IdempotencyKeyInUseError(1);
    const isSame = typeof done !== 'string' && isUnchanged(done);
    const said = typeof reason === 'function' ? reason(done) : reason;
    await recordDone(context, typeof done === 'string' ? done : done.id, said ?? (isSame ? NOTHING_CHANGED : null));
    return done;
  });
}

/** Runs what a mutation does before it changes anything. @throws UnavailableError, which says that nothing was carried out */
export async function beforeChanges<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof UnavailableError ? error.of('NOT_EXECUTED') : error;
  }
}

/** The reason in the entry of an update whose values were all stored already. */
const NOTHING_CHANGED = 'nothing changed';

/** Writes the audit entry of an action, in the same transaction as the action. */
export async function recordDone(context: MutationContext, objectId: string | null, reason: string | null = null): Promise<void> {
  const { name, noun } = context.action;
  await context.store.audit.insert(entryOf(context, name, noun, objectId, reason));
}

/** What an action changed besides its own object. */
export interface AlsoDone {
  /** What happened to the records, such as `deleteConnection`. */
  readonly action: string;
  readonly noun: Noun;
  readonly ids: readonly string[];
  /** What else there is to say, at the end of the reason. */
  readonly note?: string;
}

/**
 * Writes an audit entry for each record that an action changed, created or deleted besides its own object, in the same transaction. The reason
 * names the action and its object, such as `with deleteEndUser of RW5kVXNlcjo…`.
 */
export async function recordAlso(
  context: MutationContext,
  done: AlsoDone,
  object: { readonly noun: Noun; readonly id: string } | null,
): Promise<void> {
  await recordAllAlso(context, [{ ...done, object }]);
}

/** Does the same for many actions, with one command. */
export async function recordAllAlso(
  context: MutationContext,
  all: readonly (AlsoDone & { readonly object: { readonly noun: Noun; readonly id: string } | null })[],
): Promise<void> {
  const entries = all.flatMap(({ action, noun, ids, note, object }) => {
    const reason = `with ${context.action.name}${object ? ` of ${encodeId(object.noun, object.id)}` : ''}${note ? `: ${note}` : ''}`;
    return ids.map((id) => entryOf(context, action, noun, id, reason));
  });
  if (entries.length > 0) await context.store.audit.insertAll(entries);
}

function entryOf(
  context: MutationContext,
  action: string,
  objectNoun: Noun | null,
  objectId: string | null,
  reason: string | null,
): AuditRecord {
  const { viewer } = context;
  const { address, requestId } = context.action;
  return {
    ...newEntry(context),
    viewerKind: viewer.kind,
    subject: viewer.subject,
    address,
    requestId,
    action,
    outcome: 'SUCCESS',
    objectNoun,
    objectId,
    reason,
    count: 1,
    sequence: null,
  };
}
