import { Long } from 'bson';
import { type Doc, toNumber } from './bson.ts';
import { catalogCommands } from './catalog-commands.ts';
import { type Command, type Context, command, type Peer, type ServerState } from './command.ts';
import { connectionCommands } from './connection-commands.ts';
import { CommandError, failedToParse, invalidOptions, typeMismatch, unsupported } from './errors.ts';
import { type Options, type Parsed, parseOptions, required } from './options.ts';
import { readCommands } from './read-commands.ts';
import { Examined } from './scan.ts';
import { once, readOutcome, type Session, writeOutcome } from './sessions.ts';
import { View } from './storage.ts';
import type { Reply } from './wire.ts';
import { writeCommands } from './write-commands.ts';

/** Finds a command and runs it according to the rules of sessions, transactions, retryable writes, and read and write concerns. */

const commands: ReadonlyMap<string, Command> = new Map([...connectionCommands, ...readCommands, ...writeCommands, ...catalogCommands]);

/** The options that every command accepts. */
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
  apiVersion: 'string',
  apiStrict: 'bool',
  apiDeprecationErrors: 'bool',
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
  checkApi(name, generic);
  const context = contextOf(server, generic, peer);
  const inTransaction = generic.autocommit !== undefined && !ending;
  // Runs before anything is written: an invalid concern is an error, and then nothing must have been written.
  const concern = inTransaction ? {} : writeConcernError(name, generic);
  try {
    const reply = await (inTransaction ? runInTransaction : runAlone)(name, found, own, generic, context);
    return { ...reply, ...concern, ok: 1 };
  } finally {
    if (!context.examined.isKept) context.examined.release();
  }
}

/** Commands that are not part of MongoDB's Stable API. */
const unstable = new Set(['distinct', 'buildInfo', 'buildinfo', 'connectionStatus', 'isMaster', 'ismaster']);

/** Checks the version of the Stable API that a client requests. There is one version, and nothing of it is deprecated. */
function checkApi(name: string, { apiVersion, apiStrict, apiDeprecationErrors }: Generic): void {
  if (apiVersion === undefined && (apiStrict !== undefined || apiDeprecationErrors !== undefined))
    throw new CommandError(4886600, 'Provided apiStrict and/or apiDeprecationErrors without passing apiVersion');
  if (apiVersion !== undefined && apiVersion !== '1') throw new CommandError(322, 'API version must be "1"');
  if (apiStrict && unstable.has(name)) throw new CommandError(323, `Provided apiStrict:true, but ${name} is not in API Version 1`);
}

interface NumberedContext extends Context {
  number: bigint | undefined;
}

function contextOf(server: ServerState, generic: Generic, peer: Peer): NumberedContext {
  const { storage, sessions } = server;
  storage.db.resetReadTxn();
  const { txnNumber, lsid, maxTimeMS } = generic;
  if (txnNumber !== undefined && !(txnNumber instanceof Long)) throw typeMismatch('txnNumber must be an int64');
  if (txnNumber && (!lsid || txnNumber.isNegative())) throw invalidOptions('txnNumber requires an lsid and must not be negative');
  return {
    ...server,
    peer,
    database: required(generic.$db, 'OpMsg.$db'),
    // Of its own, because it may pause, and then reads a snapshot of its own.
    view: new View(storage),
    session: lsid && sessions.get(lsid, peer),
    transaction: undefined,
    number: txnNumber?.toBigInt(),
    examined: new Examined(maxTimeMS, { peer, turns: server.turns }),
    write: (run) => storage.write(run, maxTimeMS ? Date.now() + maxTimeMS : undefined),
  };
}

function runAlone(name: string, { run, isWrite }: Command, own: Doc, generic: Generic, context: NumberedContext): Reply | Promise<Reply> {
  const { number, session } = context;
  if (generic.startTransaction) throw invalidOptions("'startTransaction' needs 'autocommit'");
  checkReadConcern(generic, readers.has(name) ? ['local', 'available', 'majority', 'linearizable'] : ['local']);
  const isEnding = transactionEnds.has(name);
  if (isEnding ? generic.autocommit !== false : number !== undefined && !isWrite)
    throw new CommandError(50768, 'txnNumber is for transactions (with autocommit: false) and retryable writes only');
  if (isEnding && context.database !== 'admin') throw new CommandError(13, `${name} may only be run against the admin database.`);
  if (isEnding || number === undefined || !session) return run(context, own);
  // A higher number aborts the transaction with a lower one.
  if (number > session.transactionNumber) session.abort();
  return run(
    { ...context, isRetryable: true, write: (write) => context.write((view) => once(view, session, number, () => write(view))) },
    own,
  );
}

async function runInTransaction(name: string, known: Command, own: Doc, generic: Generic, context: NumberedContext): Promise<Reply> {
  const { session, number } = numbered(context);
  if (generic.autocommit !== false || generic.startTransaction === false)
    throw invalidOptions("'autocommit' must be false, and 'startTransaction' must be true if present");
  if (!known.inTransaction) throw new CommandError(263, `Cannot run '${name}' in a multi-document transaction.`);
  if (['admin', 'config', 'local'].includes(context.database))
    throw new CommandError(263, `Cannot run '${name}' in a transaction on the database '${context.database}'.`);
  if (generic.writeConcern) throw invalidOptions('only commitTransaction and abortTransaction may have a write concern in a transaction');
  if (generic.readConcern && !generic.startTransaction)
    throw invalidOptions('only the first command of a transaction may have a readConcern');
  checkReadConcern(generic, ['local', 'majority', 'snapshot']);
  try {
    if (generic.startTransaction) session.start(context.storage, number);
    const transaction = session.continue(number);
    context.examined.transaction = transaction;
    const reply = await known.run({ ...context, view: transaction, transaction, write: async (run) => run(transaction) }, own);
    // A partly failed write aborts the transaction: a commit would not contain everything that was requested.
    if (reply.writeErrors) session.abort();
    return reply;
  } catch (error) {
    // Any error aborts the transaction, except one about another transaction.
    const isAboutAnother = error instanceof CommandError && [225, 256].includes(error.code);
    if (session.transactionNumber === number && !isAboutAnother) session.abort();
    throw error;
  }
}

function numbered({ session, number }: NumberedContext): { session: Session; number: bigint } {
  if (!session || number === undefined) throw invalidOptions('a transaction requires an lsid and a txnNumber');
  return { session, number };
}

const endOptions = { commitTransaction: 'any', abortTransaction: 'any', recoveryToken: 'any' } as const;

/** Both may be sent again if the reply was lost. */
const transactionEnds = new Map<string, Command>([
  command('commitTransaction', endOptions, async (context) => {
    const { session, number } = numbered(context as NumberedContext);
    await commitUnderWay(context, session);
    const before = readOutcome(context.storage.latest, session);
    const isCommitted = session.state !== 'inProgress' && before?.number === number && !before.reply;
    if (isCommitted && session.transactionNumber <= number) return {};
    const transaction = session.continue(number);
    session.commit = transaction.commit((view) => writeOutcome(view, session, number));
    try {
      await session.commit;
    } catch (error) {
      session.abort();
      throw error;
    }
    session.end('committed');
    return {};
  }),
  command('abortTransaction', endOptions, async (context) => {
    const { session, number } = numbered(context as NumberedContext);
    await commitUnderWay(context, session);
    session.continue(number);
    session.abort();
    return {};
  }),
]);

/** After a broken connection, a commit may be sent again before the reply to the first one. Both get the result of the first. */
async function commitUnderWay({ storage }: Context, session: Session): Promise<void> {
  if (!session.commit) return;
  await session.commit.catch(() => {});
  storage.db.resetReadTxn();
}

/** The commands that accept any read concern. Outside transactions, all others accept only the default. */
const readers = new Set(['find', 'aggregate', 'count', 'distinct', 'explain']);

function checkReadConcern({ readConcern }: Generic, allowed: string[]): void {
  if (!readConcern) return;
  const { level = 'local' } = parseOptions('readConcern', readConcern, { level: 'string', afterClusterTime: 'any', provenance: 'any' });
  if (allowed.includes(level)) return;
  if (!['available', 'majority', 'linearizable', 'snapshot'].includes(level))
    throw failedToParse(`Enumeration value '${level}' for field 'readConcern.level' is not a valid value.`);
  if (allowed.includes('available')) throw unsupported("readConcern level 'snapshot' outside a transaction");
  throw invalidOptions(`readConcern level '${level}' is not allowed for this command or in a transaction`);
}

const catalogWriters = ['create', 'drop', 'dropDatabase', 'createIndexes', 'dropIndexes'];
const writers = new Set(['insert', 'update', 'delete', 'findAndModify', ...catalogWriters, ...transactionEnds.keys()]);
const concernOptions = { w: 'any', j: 'bool', wtimeout: 'int', wtimeoutMS: 'int', fsync: 'bool', provenance: 'any' } as const;

/** Checks a write concern. Every acknowledged write is on disk; a concern that requires more than one server cannot be satisfied. */
function writeConcernError(name: string, { writeConcern }: Generic): Reply {
  if (!writeConcern) return {};
  const { w = 'majority' } = parseOptions('writeConcern', writeConcern, concernOptions);
  // It applies only to stages that write, which are not supported.
  if (name === 'aggregate') throw unsupported('a write concern of aggregate');
  if (!writers.has(name)) throw invalidOptions(`${name} does not support a write concern`);
  const nodes = toNumber(w);
  if (typeof w !== 'string' && !(Number.isInteger(nodes) && nodes! >= 0 && nodes! <= 50))
    throw failedToParse('w has to be a string or an integer from 0 to 50');
  if (w === 'majority' || nodes! <= 1) return {};
  const error = typeof w === 'string' ? new CommandError(79, `No write concern mode named '${w}' found`) : undefined;
  const { code, codeName, message } = error ?? new CommandError(100, 'Not enough data-bearing nodes');
  return { writeConcernError: { code, codeName, errmsg: message } };
}
