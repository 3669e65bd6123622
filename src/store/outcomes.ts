import { AsyncLocalStorage } from 'node:async_hooks';
import type { Connection } from 'mongoose';
import { UnavailableError } from '../errors.ts';

/** How an attempt of a transaction ended. `unknown` if the connection failed, so that the server can have committed it, or still can. */
export type TransactionOutcome = 'committed' | 'aborted' | 'unknown';

type Listener = (outcome: TransactionOutcome) => void;

/** One attempt of a transaction. */
interface Attempt {
  readonly listeners: Listener[];
  /** What was noted during the attempt, by whom. */
  readonly notes: Map<object, unknown>;
  /** Its listeners were told. What still runs in it was given up, and nobody waits for it. */
  hasEnded: boolean;
}

const attempts = new AsyncLocalStorage<Attempt>();
/** When a caller should try again, in seconds. */
const RETRY_SECONDS = 5;

/** Whether the caller runs inside a transaction. */
export function isInTransaction(): boolean {
  return attempts.getStore() !== undefined;
}

/**
 * Calls the function once, when it is known how the current attempt of the running transaction has ended. A transaction that is repeated has
 * several attempts. Register before the first effect that must be ended.
 *
 * @throws UnavailableError when the attempt has ended: it was given up after its time limit, and the function would never be called
 * @throws Error outside of a transaction
 */
export function onOutcome(listener: Listener): void {
  const attempt = attempts.getStore();
  if (!attempt) throw new Error('There is no transaction whose outcome could be told.');
  if (attempt.hasEnded) throw new UnavailableError('The database does not respond.', RETRY_SECONDS, 'NOT_EXECUTED');
  attempt.listeners.push(listener);
}

/**
 * Returns a note of the current attempt of the running transaction, such as what it has read already. `owner` makes it when it first asks. Undefined
 * outside of a transaction.
 */
export function noteOf<T>(owner: object, make: () => T): T | undefined {
  const attempt = attempts.getStore();
  if (!attempt) return undefined;
  if (!attempt.notes.has(owner)) attempt.notes.set(owner, make());
  return attempt.notes.get(owner) as T;
}

/** Runs a transaction, and tells the listeners of each attempt how it ended. */
export async function runTransaction(connection: Connection, run: () => Promise<void>): Promise<void> {
  let current: Attempt | undefined;
  const end = (outcome: TransactionOutcome) => {
    if (!current) return;
    current.hasEnded = true;
    for (const listener of current.listeners.splice(0)) listener(outcome);
  };
  const attempt = async () => {
    // The driver repeats the function after a commit only if the server said that it did not commit.
    end('aborted');
    const own: Attempt = { listeners: [], notes: new Map(), hasEnded: false };
    current = own;
    try {
      await attempts.run(own, run);
    } catch (error) {
      // Without a connection, the server cannot be told to abort. It does so later.
      end(isNetworkError(error) ? 'unknown' : 'aborted');
      throw error;
    }
  };
  try {
    await connection.transaction(attempt, { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } });
  } catch (error) {
    end(isSurelyAborted(error) ? 'aborted' : 'unknown');
    throw error;
  }
  end('committed');
}

function isNetworkError(error: unknown): boolean {
  if (error instanceof UnavailableError) return true;
  return error instanceof Error && /^Mongo(Network|ServerSelection|PoolC|ClientClosed|NotConnected)/.test(error.name);
}

/** Whether a commit that failed with this error has certainly not been carried out. */
function isSurelyAborted(error: unknown): boolean {
  const { hasErrorLabel } = error as { hasErrorLabel?: (label: string) => boolean };
  return hasErrorLabel?.call(error, 'TransientTransactionError') === true && !isNetworkError(error);
}
