import { type Doc, encode } from './bson.ts';
import type { Cursors } from './cursors.ts';
import { CommandError } from './errors.ts';
import { type Options, type Parsed, parseOptions } from './options.ts';
import type { Examined } from './scan.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Storage, TransactionView, View } from './storage.ts';
import type { Reply } from './wire.ts';

/** What all commands of a server share. */
export interface ServerState {
  storage: Storage;
  sessions: Sessions;
  cursors: Cursors;
  /** Tells an attaching process that this is the server of the data directory it meant. */
  identity: string;
}

/** The connection that a command came over. */
export interface Peer {
  id: number;
  /** The address that the client used. */
  address: string;
}

/** What a command is run with. */
export interface Context extends ServerState {
  peer: Peer;
  database: string;
  /** The newest state, or the transaction's. */
  view: View;
  session: Session | undefined;
  transaction: TransactionView | undefined;
  examined: Examined;
  /** The command may be sent again, and is then not run but answered as before. */
  isRetryable?: boolean;
  /** Runs a write: in the transaction, once if it is retryable, or by itself. The answer comes when it is on disk. */
  write: (run: (view: View) => Reply) => Promise<Reply>;
}

export interface Command {
  run: (context: Context, command: Doc) => Reply | Promise<Reply>;
  /** Whether it may be part of a multi-document transaction. */
  inTransaction: boolean;
  /** Whether it writes documents, and so may have a number and be retried. */
  isWrite: boolean;
}

type Run<T extends Options> = (context: Context, options: Parsed<T>) => Reply | Promise<Reply>;

/** A command that cannot be part of a transaction: what it may carry, and what it does with that. */
export function command<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { run: (context, doc) => run(context, parseOptions(name, doc, options)), inTransaction: false, isWrite: false }];
}

/** A command that may be part of a transaction. */
export function transactionalCommand<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { ...command(name, options, run)[1], inTransaction: true }];
}

/** A command that writes documents. */
export function writeCommand<T extends Options>(name: string, options: T, run: Run<T>): [string, Command] {
  return [name, { ...transactionalCommand(name, options, run)[1], isWrite: true }];
}

/** The full name of the collection that a command is about. */
export function namespaceOf({ database }: Context, collection: string | undefined): string {
  if (!collection) throw new CommandError(73, `Invalid namespace specified '${database}.'`);
  return `${database}.${collection}`;
}

/** The answer of commands that list something. */
export function listed(context: Context, namespace: string, documents: Doc[], cursor: Doc = new Map()): Reply {
  const { batchSize } = parseOptions('cursor', cursor, { batchSize: 'count' });
  return context.cursors.first(namespace, documents.map(encode), context, batchSize);
}
