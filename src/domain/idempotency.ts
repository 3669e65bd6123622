import { scopes } from '../access/scopes.ts';
import { may, type Viewer } from '../access/viewer.ts';
import {
  AlreadyExecutedError,
  ForbiddenError,
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  StorageLimitError,
  UnauthenticatedError,
  type Unkept,
} from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import type { Reservation } from '../store/idempotency.ts';
import { newId } from '../store/ids.ts';
import type { DomainContext } from './context.ts';
import { beforeChanges } from './mutate.ts';

export type { Reservation };

/** How long a key is known. */
const KEPT_MS = 24 * 60 * 60_000;
/** An attempt keeps its key for the time limit of operations and this much longer, to store the answer. */
const GRACE_MS = 5_000;
/** The maximum length of a kept answer, in characters; of end users, who have a share of what their organization stores. */
const ANSWER_MAX = 256 * 1024;
const ANSWER_OF_END_USER_MAX = 32 * 1024;
/** How often a reservation is tried that meets another one of the same key. */
const TRIES = 3;

/** An operation with an idempotency key. */
export interface Repeatable {
  readonly key: string;
  /** The request as a text: equal texts are equal requests. */
  readonly request: string;
  /** How long the operation may take, in seconds. */
  readonly seconds: number;
}

/**
 * Reserves an idempotency key for an operation (draft-ietf-httpapi-idempotency-key-header), or returns the answer of an earlier one with the same key and
 * the same request. The key is the viewer's own. An operation whose process was killed before it committed anything may run again.
 *
 * @throws IdempotencyKeyReusedError when the earlier request was another one
 * @throws IdempotencyKeyInUseError when the earlier one may still be running
 * @throws AlreadyExecutedError when the earlier one was carried out, at least in part, and its answer is not kept
 * @throws ForbiddenError when the token does not have all scopes that it had at that time: the answer can depend on each of them
 * @throws StorageLimitError, UnauthenticatedError, UnavailableError
 */
export async function reserve(context: DomainContext, asked: Repeatable): Promise<Reservation | { readonly answer: string }> {
  const { store, now } = context;
  await beforeChanges(() => store.organization.ensure(now()));
  for (let attempt = 1; ; attempt++) {
    try {
      return await beforeChanges(() => store.transaction(() => reserveOnce(context, asked)));
    } catch (error) {
      if (!(error instanceof DuplicateKeyError) || attempt === TRIES) throw error;
    }
  }
}

async function reserveOnce({ store, now, viewer }: DomainContext, asked: Repeatable): Promise<Reservation | { readonly answer: string }> {
  if ((await store.organization.begin()) === 'deleted') {
    throw new UnauthenticatedError('The organization of this token has been deleted.');
  }
  const hashes = await store.idempotency.hashesOf(JSON.stringify([...ownerOf(viewer), asked.key]), asked.request);
  const time = now();
  const reservation: Reservation = { ...hashes, attempt: newId(), expiresAt: new Date(time.getTime() + KEPT_MS) };
  const endsAt = new Date(time.getTime() + asked.seconds * 1_000 + GRACE_MS);
  const found = await store.idempotency.find(hashes.keyHash, time);
  if (!found) {
    await store.idempotency.insert(reservation, endsAt, viewer.confinedTo?.endUserId ?? null);
    return reservation;
  }
  if (found.requestHash !== hashes.requestHash) throw new IdempotencyKeyReusedError();
  if (found.state === 'running') {
    const leftMs = found.endsAt.getTime() - time.getTime();
    if (leftMs > 0) throw new IdempotencyKeyInUseError(Math.min(asked.seconds, Math.ceil(leftMs / 1_000)));
    if (found.hasCommitted) throw new AlreadyExecutedError('LOST');
    await store.idempotency.take(reservation, endsAt);
    return { ...reservation, expiresAt: found.expiresAt };
  }
  const { expiresAt, sealed } = found;
  const opened = sealed === undefined ? undefined : await store.idempotency.open({ ...reservation, expiresAt }, sealed);
  if (!opened) throw new AlreadyExecutedError(found.unkept ?? 'LOST');
  const missing = opened.scopes.find((scope) => !may(viewer, scope));
  if (missing) throw new ForbiddenError(missing);
  return { answer: opened.text };
}

/**
 * Ends an operation that had reserved its key. Its answer is kept, or, if there is none to keep, why not; then the key is free again unless
 * something was committed.
 *
 * @throws UnavailableError. Then the key is in use until the longest time of an operation is over.
 */
export async function finish(
  { store, viewer }: DomainContext,
  reservation: Reservation,
  result: { readonly answer: string } | { readonly unkept: Unkept },
): Promise<void> {
  const inTransaction = (work: () => Promise<void>) =>
    store.transaction(async () => {
      if ((await store.organization.begin()) !== 'deleted') await work();
    });
  const without = (why: Unkept) => inTransaction(() => store.idempotency.finishUnanswered(reservation, why));
  if ('unkept' in result) return without(result.unkept);
  const { answer: text } = result;
  if (text.length > (viewer.confinedTo?.endUserId ? ANSWER_OF_END_USER_MAX : ANSWER_MAX)) return without('TOO_LARGE');
  try {
    await inTransaction(() => store.idempotency.keep(reservation, { text, scopes: scopes.filter((scope) => may(viewer, scope)) }));
  } catch (error) {
    // What the organization stores comes first.
    if (!(error instanceof StorageLimitError)) throw error;
    await without('TOO_LARGE');
  }
}

/** What identifies a viewer: keys of another one are other keys. */
function ownerOf({ kind, subject, confinedTo }: Viewer): readonly unknown[] {
  return [kind, subject, confinedTo?.integrationId ?? null, confinedTo?.endUserId ?? null];
}
