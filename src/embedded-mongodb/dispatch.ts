import { Long } from 'bson';
import type { Doc } from './bson.ts';
import { type Command, type Context, command, type Peer, type ServerState } from './command.ts';
import { commands } from './commands.ts';
import { CommandError, failedToParse, invalidOptions, unsupported } from './errors.ts';
import { type Options, type Parsed, parseOptions, required } from './options.ts';
import { Examined } from './planner.ts';
import { once, readOutcome, type Session, writeOutcome } from './sessions.ts';
import type { Reply } from './wire.ts';

/** Finds a command and runs it by the rules of sessions, transactions, retried writes and concerns. */

/** What every command may carry. */
const genericOptions = {
  $db: 'string',
  lsid: 'doc',
  txnNumber: 'any',
  autocommit: 'bool',
  startTransaction: 'bool',
  readConcern: 'doc',
  writeConcern: 'doc',
  maxTimeMS: 'count',
  comment: 'any',
  $readPreference: 'doc',
  $clusterTime: 'doc',
} as const satisfies Options;
type Generic = Parsed<typeof genericOptions>;

export async function runCommand(server: ServerState, message: Doc, peer: Peer): Promise<Reply> {
  const [name = ''] = message.keys();
  const isGeneric = ([field]: [string, unknown]) => Object.hasOwn(genericOptions, field);
  const generic = parseOptions(name, new Map([...message].filter(isGeneric)), genericOptions);
  const own: Doc = new Map([...message].filter((field) => !isGeneric(field)));
  const ending = transactionEnds.get(name);
  const found = ending ?? commands.get(name);
  if (!found) throw new CommandError(59, `no such command: '${name}'`);
  const context = contextOf(server, generic, peer);
  const inTransaction = generic.autocommit !== undefined && !ending;
  const reply = await (inTransaction ? runInTransaction : runAlone)(name, found, own, generic, context);
  const hasConcern = !inTransaction && (found.isWrite || generic.writeConcern);
  return { ...reply, ...(hasConcern && writeConcernError(generic)), ok: 1 };
}

interface NumberedContext extends Context {
  number: bigint | undefined;
}

function contextOf(server: ServerState, generic: Generic, peer: Peer): NumberedContext {
  const { store, sessions } = server;
  store.db.resetReadTxn();
  const { txnNumber, lsid, maxTimeMS } = generic;
  if (txnNumber !== undefined && !(txnNumber instanceof Long && lsid))
    throw invalidOptions('txnNumber needs to be an int64, beside an lsid');
  return {
    ...server,
    peer,
    database: required(generic.$db, 'OpMsg.$db'),
    view: store.latest,
    session: lsid && sessions.get(lsid),
    transaction: undefined,
    number: txnNumber?.toBigInt(),
    examined: new Examined(maxTimeMS),
    write: (run) => store.write(run, maxTimeMS ? Date.now() + maxTimeMS : undefined),
  };
}

function runAlone(name: string, { run, isWrite }: Command, own: Doc, generic: Generic, context: NumberedContext): Reply | Promise<Reply> {
  const { number, session } = context;
  if (generic.startTransaction) throw invalidOptions("'startTransaction' needs 'autocommit'");
  if (transactionEnds.has(name)) return run(context, own);
  checkReadConcern(generic, ['local', 'available', 'majority', 'linearizable']);
  if (number === undefined || !session) return run(context, own);
  if (!isWrite) throw new CommandError(50768, 'txnNumber is for transactions and retryable writes only');
  // A newer number ends the transaction of an older one.
  if (number > session.transactionNumber) session.abort();
  return run({ ...context, write: (write) => context.write((view) => once(view, session, number, () => write(view))) }, own);
}

async function runInTransaction(name: string, known: Command, own: Doc, generic: Generic, context: NumberedContext): Promise<Reply> {
  const { session, number } = numbered(context);
  if (generic.autocommit !== false) throw invalidOptions("'autocommit' must be false");
  if (!known.inTransaction) throw new CommandError(263, `Cannot run '${name}' in a multi-document transaction.`);
  try {
    if (generic.writeConcern) throw invalidOptions('only the end of a transaction may have a write concern');
    if (generic.startTransaction) session.start(context.store, number);
    else if (generic.readConcern) throw invalidOptions('only the first command of a transaction may have a readConcern');
    checkReadConcern(generic, ['local', 'majority', 'snapshot']);
    const transaction = session.continue(number);
    const reply = await known.run({ ...context, view: transaction, transaction, write: async (run) => run(transaction) }, own);
    // A write that failed in part ends the transaction: what it would commit is not what was asked for.
    if (reply.writeErrors) session.abort();
    return reply;
  } catch (error) {
    // Any error ends the transaction, except one about another transaction.
    const isAboutAnother = error instanceof CommandError && [225, 256].includes(error.code);
    if (session.transactionNumber === number && !isAboutAnother) session.abort();
    throw error;
  }
}

function numbered({ session, number }: NumberedContext): { session: Session; number: bigint } {
  if (!session || number === undefined) throw invalidOptions('a transaction needs an lsid and a txnNumber');
  return { session, number };
}

const endOptions = { commitTransaction: 'any', abortTransaction: 'any', recoveryToken: 'any' } as const;

/** Both may be sent again when their answer was lost. */
const transactionEnds = new Map<string, Command>([
  command('commitTransaction', endOptions, async (context) => {
    const { session, number } = numbered(context as NumberedContext);
    const before = readOutcome(context.store.latest, session);
    const isCommitted = session.state !== 'inProgress' && before?.number === number && !before.reply;
    if (isCommitted && session.transactionNumber <= number) return {};
    const transaction = session.continue(number);
    try {
      await transaction.commit((view) => writeOutcome(view, session, number));
    } catch (error) {
      session.abort();
      throw error;
    }
    session.end('committed');
    return {};
  }),
  command('abortTransaction', endOptions, (context) => {
    const { session, number } = numbered(context as NumberedContext);
    session.continue(number);
    session.abort();
    return {};
  }),
]);

function checkReadConcern({ readConcern }: Generic, allowed: string[]): void {
  if (!readConcern) return;
  const { level = 'local' } = parseOptions('readConcern', readConcern, { level: 'string', afterClusterTime: 'any', provenance: 'any' });
  if (allowed.includes(level)) return;
  if (level === 'snapshot') throw unsupported("readConcern level 'snapshot' outside a transaction");
  if (allowed.includes('snapshot')) throw invalidOptions(`readConcern level '${level}' in a transaction`);
  throw failedToParse(`Enumeration value '${level}' for field 'readConcern.level' is not a valid value.`);
}

const concernOptions = { w: 'any', j: 'bool', wtimeout: 'int', wtimeoutMS: 'int', fsync: 'bool', provenance: 'any' } as const;

/** Every acknowledged write is on disk here; a concern that asks for more than this one server cannot be met. */
function writeConcernError({ writeConcern }: Generic): Reply {
  if (!writeConcern) return {};
  const { w = 1 } = parseOptions('writeConcern', writeConcern, concernOptions);
  if (w === 'majority' || Number(w) <= 1) return {};
  const error = typeof w === 'string' ? new CommandError(79, `No write concern mode named '${w}' found`) : undefined;
  const { code, codeName, message } = error ?? new CommandError(100, 'Not enough data-bearing nodes');
  return { writeConcernError: { code, codeName, errmsg: message } };
}
