import { type Doc, encode } from './bson.ts';
import type { Cursors } from './cursors.ts';
import { CommandError } from './errors.ts';
import { type Options, type Parsed, parseOptions } from './options.ts';
import type { Examined } from './scan.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Storage, TransactionView, View } from './storage.ts';
import type { Turns } from './turns.ts';
import type { Reply } from './wire.ts';

/** The state that all commands of a server share. */
export interface ServerState {
  storage: Storage;
  sessions: Sessions;
  cursors: Cursors;
  /** The statements that have paused. */
  turns: Turns;
  /** Identifies the server, so that an attaching process knows that it serves the expected data directory. */
  identity: string;
}

/** The connection of a command. */
export interface Peer {
  id: number;
  /** The server address that the client used. */
  address: string;
  /** The sessions that it has used. */
  sessions: Set<Session>;
  isClosed: boolean;
}

/** The context in which a command runs. */
export interface Context extends ServerState {
  peer: Peer;
  database: string;
  /** The view of the transaction, or of the current state. */
  view: View;
  session: Session | undefined;
  transaction: TransactionView | undefined;
  examined: Examined;
  /** If true and the command is sent again, it is not run again and gets the first reply. */
  isRetryable?: boolean;
  /** Runs a write: in the transaction, once if it is retryable, or on its own. Resolves when the write is on disk. */
  write: (run: (view: View) => Reply) => Promise<Reply>;
}

export interface Command {
  run: (context: Context, command: Doc) => Reply | Promise<Reply>;
  /** Whether the command may be part of a multi-document transaction. */
  inTransaction: boolean;
  /** Whether the command writes documents, and so may have a transaction number and be retried. */
  isWrite: boolean;
}

type Run<T extends Options> = (context: Context, options: Parsed<T>) => Reply | Promise<Reply>;

/** Defines a command that cannot be part of a transaction, by its options and its implementation. */
export function command<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { run: (context, doc) => run(context, parseOptions(name, doc, options)), inTransaction: false, isWrite: false }];
}

/** Defines a command that may be part of a transaction. */
export function transactionalCommand<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { ...command(name, options, run)[1], inTransaction: true }];
}

/** Defines a command that writes documents. */
export function writeCommand<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { ...transactionalCommand(name, options, run)[1], isWrite: true }];
}

/** Returns the full name of the collection of a command. */
export function namespaceOf({ database }: Context, collection: string | undefined): string {
  if (!collection) throw new CommandError(73, `Invalid namespace specified '${database}.'`);
  return `${database}.${collection}`;
}

/** Returns the reply of a command that lists something. */
export function listed(context: Context, namespace: string, documents: Doc[], cursor: Doc = new Map()): Promise<Reply> {
  const { batchSize } = parseOptions('cursor', cursor, { batchSize: 'count' });
  return context.cursors.first(namespace, documents.map(encode), context, batchSize);
}
