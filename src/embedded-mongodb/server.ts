import { chmodSync } from 'node:fs';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { Binary, Long, Timestamp } from 'bson';
import { type Doc, show, type Value } from './bson.ts';
import { type Command, type Context, commands } from './commands.ts';
import { CommandError, failedToParse, unsupported } from './errors.ts';
import { type Options, type Parsed, parseOptions } from './options.ts';
import {
  Cursors,
  noSuchTransaction,
  once,
  readOutcome,
  type Session,
  Sessions,
  sessionMinutes,
  sweepOutcomes,
  writeOutcome,
} from './sessions.ts';
import type { Store, View } from './store.ts';
import { Framer, type Reply, type Request, readHeader, readRequest, wantsReply, writeReply } from './wire.ts';

/** Listens, keeps connections and sessions, and gives each command to the function that runs it. It looks like the primary of a replica set. */

/** What every command may carry. */
const genericOptions = {
  $db: 'string',
  lsid: 'doc',
  txnNumber: 'any',
  autocommit: 'bool',
  startTransaction: 'bool',
  stmtId: 'int',
  stmtIds: 'array',
  readConcern: 'doc',
  writeConcern: 'doc',
  maxTimeMS: 'int',
  comment: 'any',
  $readPreference: 'doc',
  $clusterTime: 'doc',
  apiVersion: 'string',
  apiStrict: 'bool',
  apiDeprecationErrors: 'bool',
} as const satisfies Options;
type Generic = Parsed<typeof genericOptions>;

export class Server {
  readonly store: Store;
  private readonly identity: string;
  private readonly net: NetServer;
  private readonly sockets = new Set<Socket>();
  private readonly sessions = new Sessions();
  private readonly cursors = new Cursors();
  private readonly sweeper: NodeJS.Timeout;
  private clock = { seconds: 0, count: 0 };
  private connections = 0;

  /** `identity` tells an attaching process that this is the server of the data directory it meant. */
  constructor(store: Store, identity: string) {
    this.store = store;
    this.identity = identity;
    this.net = createServer((socket) => this.accept(socket));
    this.sweeper = setInterval(() => this.sweep(), 60_000).unref();
  }

  listen(where: string | { port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.net.once('error', reject);
      this.net.listen(typeof where === 'string' ? { path: where } : { port: where.port, host: '127.0.0.1' }, () => {
        this.net.off('error', reject);
        this.net.on('error', () => {});
        if (typeof where === 'string') chmodSync(where, 0o600);
        resolve();
      });
    });
  }

  get port(): number {
    return (this.net.address() as { port: number }).port;
  }

  /** Stops listening, ends connections and open transactions. The store is closed by its owner. */
  async stop(): Promise<void> {
    clearInterval(this.sweeper);
    const closed = new Promise((resolve) => this.net.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    this.sessions.abortAll();
    await closed;
  }

  private sweep(): void {
    this.cursors.sweep();
    this.sessions.sweep();
    sweepOutcomes(this.store).catch(() => {});
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    const id = ++this.connections;
    const framer = new Framer();
    // One after the other, as a client expects on one connection.
    let last = Promise.resolve();
    socket.on('data', (chunk) => {
      try {
        for (const message of framer.add(chunk))
          last = last.then(() => this.answer(socket, message, id)).catch(() => void socket.destroy());
      } catch {
        socket.destroy();
      }
    });
  }

  private async answer(socket: Socket, message: Buffer, connectionId: number): Promise<void> {
    let reply: Reply;
    let request: Request | undefined;
    try {
      request = readRequest(message);
      reply = await this.run(request.command, { socket, connectionId });
    } catch (error) {
      reply = failure(error);
    }
    if (socket.writable && wantsReply(message)) socket.write(writeReply(request ?? readHeader(message), { ...reply, ...this.times() }));
  }

  private async run(command: Doc, peer: { socket: Socket; connectionId: number }): Promise<Reply> {
    const [name] = command.keys();
    if (!name) throw failedToParse('a command without a name');
    const isGeneric = (field: string) => field in genericOptions;
    const generic = parseOptions(name, new Map([...command].filter(([field]) => isGeneric(field))), genericOptions);
    const rest: Doc = new Map([...command].filter(([field]) => !isGeneric(field)));
    if (generic.apiVersion !== undefined && generic.apiVersion !== '1') throw new CommandError(322, 'API version must be "1"');
    if (generic.apiStrict) throw unsupported('apiStrict');
    const own = connectionCommands[name] ?? connectionCommands[name.toLowerCase()];
    if (own) return { ...(await own.call(this, rest, generic, peer)), ok: 1 };
    const known = commands.get(name);
    if (!known) throw new CommandError(59, `no such command: '${name}'`);
    const session = generic.lsid && this.sessions.get(generic.lsid);
    if (generic.autocommit !== undefined) return this.runInTransaction(name, known, rest, generic, session);
    if (generic.startTransaction) throw new CommandError(72, "'startTransaction' field requires 'autocommit' field to also be specified");
    checkReadConcern(generic, false);
    const reply = await known.run(this.context(generic, session, known), rest);
    const concern = known.writes || generic.writeConcern ? writeConcernError(generic.writeConcern) : undefined;
    return { ...reply, ...(concern && { writeConcernError: concern }), ok: 1 };
  }

  private context(generic: Generic, session: Session | undefined, known?: Command): Context {
    const { store } = this;
    const deadline = generic.maxTimeMS ? Date.now() + generic.maxTimeMS : Number.POSITIVE_INFINITY;
    const number = generic.txnNumber === undefined ? undefined : transactionNumber(generic);
    if (number !== undefined && !known?.writes)
      throw new CommandError(50768, 'txnNumber may only be provided for multi-document transactions and retryable write commands.');
    // A newer number ends the transaction of an older one.
    if (number !== undefined && session && number > session.transactionNumber) session.abort();
    store.db.resetReadTxn();
    return {
      store,
      database: databaseOf(generic),
      view: store.latest,
      session,
      transaction: undefined,
      sessions: this.sessions,
      cursors: this.cursors,
      deadline,
      write: (run) =>
        store.write((view) => (number === undefined ? run(view) : once(view, session!, number, () => run(view))), { deadline }),
    };
  }

  private async runInTransaction(name: string, known: Command, rest: Doc, generic: Generic, session: Session | undefined): Promise<Reply> {
    const number = transactionNumber(generic);
    if (generic.autocommit !== false) throw new CommandError(72, "'autocommit' must be false");
    if (!session) throw new CommandError(72, 'a transaction needs an lsid');
    if (generic.startTransaction === false) throw new CommandError(72, "'startTransaction' must be true when it is given");
    if (!known.inTransaction) throw new CommandError(263, `Cannot run '${name}' in a multi-document transaction.`);
    try {
      if (generic.writeConcern) throw new CommandError(72, `${name} is not allowed to have a write concern in a transaction`);
      if (generic.startTransaction) this.start(session, number);
      else if (generic.readConcern) throw new CommandError(72, 'Only the first command in a transaction may specify a readConcern');
      checkReadConcern(generic, true);
      const transaction = session.continue(number);
      const context: Context = {
        ...this.context({ ...generic, txnNumber: undefined } as Generic, session),
        view: transaction,
        transaction,
        write: async (run) => run(transaction),
      };
      const reply = await known.run(context, rest);
      // A write that failed in part ends the transaction: what it would commit is not what was asked for.
      if (reply.writeErrors) session.abort();
      return { ...reply, ok: 1 };
    } catch (error) {
      // Any error ends the transaction, except one about another transaction.
      if (session.transactionNumber === number && !(error instanceof CommandError && [256, 225].includes(error.code))) session.abort();
      throw error;
    }
  }

  private start(session: Session, number: bigint): void {
    const before = readOutcome(this.store.latest, session);
    const last = before && before.number > session.transactionNumber ? before.number : session.transactionNumber;
    if (number < last)
      throw new CommandError(225, `Cannot start transaction ${number} on session because a newer transaction ${last} has already started.`);
    if (number === last) {
      const error = new CommandError(
        117,
        `Cannot start transaction ${number}: a transaction or retryable write of this number has already been started`,
      );
      throw error;
    }
    session.start(this.store, number);
  }

  /** Commits or aborts; both may be sent again when their answer was lost. */
  async endTransaction(commit: boolean, generic: Generic): Promise<Reply> {
    const number = transactionNumber(generic);
    const session = generic.lsid && this.sessions.get(generic.lsid);
    if (!session || generic.autocommit !== false)
      throw new CommandError(50768, `${commit ? 'commitTransaction' : 'abortTransaction'} must be run within a transaction`);
    if (commit && session.transactionNumber <= number && session.state !== 'inProgress') {
      const before = readOutcome(this.store.latest, session);
      const committed = before?.number === number && !before.reply;
      if (committed) return concerned(generic);
    }
    if (!commit && session.transactionNumber !== number) throw noSuchTransaction(number, session.transactionNumber);
    const transaction = session.continue(number);
    if (!commit) {
      session.abort();
      return concerned(generic);
    }
    try {
      await transaction.commit((view: View) => writeOutcome(view, session, number));
    } catch (error) {
      session.abort();
      throw error;
    }
    session.end('committed');
    return concerned(generic);
  }

  hello(peer: { socket: Socket; connectionId: number }): Reply {
    const { localAddress, localPort } = peer.socket;
    const address = localAddress ? `${localAddress}:${localPort}` : String(this.net.address());
    return {
      helloOk: true,
      isWritablePrimary: true,
      ismaster: true,
      setName: 'embedded',
      setVersion: 1,
      secondary: false,
      hosts: [address],
      primary: address,
      me: address,
      maxBsonObjectSize: 16 * 1024 * 1024,
      maxMessageSizeBytes: 48_000_000,
      maxWriteBatchSize: 100_000,
      localTime: new Date(),
      logicalSessionTimeoutMinutes: sessionMinutes,
      connectionId: peer.connectionId,
      minWireVersion: 0,
      maxWireVersion: 21,
      readOnly: false,
      embedded: this.identity,
    };
  }

  endSessions(lsids: Doc[]): void {
    for (const lsid of lsids) this.sessions.end(lsid);
  }

  abortAll(): void {
    this.sessions.abortAll();
  }

  /** The logical time that drivers pass on between connections. It only has to go up. */
  private times(): Reply {
    const seconds = Math.max(this.clock.seconds, Math.floor(Date.now() / 1000));
    this.clock = { seconds, count: seconds === this.clock.seconds ? this.clock.count + 1 : 1 };
    const time = new Timestamp({ t: seconds, i: this.clock.count });
    return {
      $clusterTime: { clusterTime: time, signature: { hash: new Binary(Buffer.alloc(20)), keyId: Long.ZERO } },
      operationTime: time,
    };
  }
}

type ConnectionCommand = (
  this: Server,
  command: Doc,
  generic: Generic,
  peer: { socket: Socket; connectionId: number },
) => Reply | Promise<Reply>;

const helloOptions = {
  hello: 'any',
  ismaster: 'any',
  isMaster: 'any',
  helloOk: 'bool',
  client: 'doc',
  compression: 'array',
  loadBalanced: 'refused',
  topologyVersion: 'refused',
  maxAwaitTimeMS: 'refused',
  saslSupportedMechs: 'any',
  speculativeAuthenticate: 'refused',
  backpressure: 'any',
} as const;

const hello: ConnectionCommand = function (command, _generic, peer) {
  parseOptions('hello', command, helloOptions);
  return this.hello(peer);
};

const version = '7.0.0';

const buildInfo: ConnectionCommand = (command) => {
  parseOptions('buildInfo', command, { buildInfo: 'any', buildinfo: 'any' });
  return {
    version,
    versionArray: [7, 0, 0, 0],
    gitVersion: 'embedded',
    modules: [],
    bits: 64,
    debug: false,
    maxBsonObjectSize: 16 * 1024 * 1024,
    storageEngines: ['lmdb'],
  };
};

const endSessions: ConnectionCommand = function (command) {
  const { endSessions: lsids } = parseOptions('endSessions', command, { endSessions: 'docs' });
  this.endSessions(lsids ?? []);
  return {};
};

/** Commands about the connection, the server and sessions. */
const connectionCommands: Record<string, ConnectionCommand> = {
  hello,
  ismaster: hello,
  buildinfo: buildInfo,
  ping: (command) => {
    parseOptions('ping', command, { ping: 'any' });
    return {};
  },
  connectionStatus: (command) => {
    parseOptions('connectionStatus', command, { connectionStatus: 'any', showPrivileges: 'bool' });
    return { authInfo: { authenticatedUsers: [], authenticatedUserRoles: [], authenticatedUserPrivileges: [] } };
  },
  getLog: (command) => {
    if (command.get('getLog') !== 'startupWarnings') throw unsupported(`getLog ${show(command.get('getLog') as Value)}`);
    return { totalLinesWritten: 0, log: [] };
  },
  getParameter: (command) => {
    const asked = [...command.keys()].filter((name) => name !== 'getParameter');
    if (command.get('getParameter') !== '*' && asked.join() !== 'featureCompatibilityVersion')
      throw new CommandError(72, 'no option found to get');
    return { featureCompatibilityVersion: { version: '7.0' } };
  },
  startSession: (command) => {
    parseOptions('startSession', command, { startSession: 'any' });
    const id = new Binary(Buffer.from(crypto.randomUUID().replaceAll('-', ''), 'hex'), 4);
    return { id: { id }, timeoutMinutes: sessionMinutes };
  },
  refreshSessions: (command) => {
    parseOptions('refreshSessions', command, { refreshSessions: 'docs' });
    return {};
  },
  endSessions,
  killAllSessions(command) {
    const { killAllSessions: users } = parseOptions('killAllSessions', command, { killAllSessions: 'docs' });
    if (users?.length) throw unsupported('killAllSessions of certain users');
    this.abortAll();
    return {};
  },
  commitTransaction(command, generic) {
    parseOptions('commitTransaction', command, { commitTransaction: 'any', recoveryToken: 'any' });
    return this.endTransaction(true, generic);
  },
  abortTransaction(command, generic) {
    parseOptions('abortTransaction', command, { abortTransaction: 'any', recoveryToken: 'any' });
    return this.endTransaction(false, generic);
  },
};

function databaseOf({ $db }: Generic): string {
  if (!$db) throw new CommandError(40414, "BSON field 'OpMsg.$db' is missing but a required field");
  return $db;
}

function transactionNumber({ txnNumber, lsid }: Generic): bigint {
  if (!lsid) throw new CommandError(72, 'Transaction number requires a session ID to be specified');
  if ((txnNumber as Long | undefined)?._bsontype !== 'Long') throw new CommandError(72, "'txnNumber' must be given as a 64-bit integer");
  return (txnNumber as Long).toBigInt();
}

function checkReadConcern({ readConcern }: Generic, inTransaction: boolean): void {
  if (!readConcern) return;
  const { level } = parseOptions('readConcern', readConcern, {
    level: 'string',
    afterClusterTime: 'any',
    provenance: 'any',
    atClusterTime: 'refused',
  });
  if (level === undefined) return;
  if (!['local', 'available', 'majority', 'linearizable', 'snapshot'].includes(level))
    throw failedToParse(`Enumeration value '${level}' for field 'readConcern.level' is not a valid value.`);
  if (inTransaction && !['local', 'majority', 'snapshot'].includes(level))
    throw new CommandError(
      72,
      "The readConcern level must be either 'local' (default), 'majority' or 'snapshot' in order to run in a transaction",
    );
  if (!inTransaction && level === 'snapshot') throw unsupported("readConcern level 'snapshot' outside a transaction");
}

/** Every acknowledged write is on disk here; a concern that asks for more than this one server cannot be met. */
function writeConcernError(writeConcern: Doc | undefined): Reply | undefined {
  if (!writeConcern) return undefined;
  const { w } = parseOptions('writeConcern', writeConcern, {
    w: 'any',
    j: 'bool',
    wtimeout: 'int',
    wtimeoutMS: 'int',
    fsync: 'bool',
    provenance: 'any',
  });
  if (typeof w === 'string' && w !== 'majority')
    return {
      code: 79,
      codeName: 'UnknownReplWriteConcern',
      errmsg: `No write concern mode named '${w}' found in replica set configuration`,
    };
  if (typeof w === 'object' && Number(w) > 1)
    return { code: 100, codeName: 'UnsatisfiableWriteConcern', errmsg: 'Not enough data-bearing nodes' };
  return undefined;
}

function concerned(generic: Generic): Reply {
  const error = writeConcernError(generic.writeConcern);
  return error ? { writeConcernError: error } : {};
}

/** An error as an answer. One that nobody foresaw is an internal error, and does not take the server down. */
function failure(error: unknown): Reply {
  const known = error instanceof CommandError ? error : unforeseen(error as Error);
  return {
    ok: 0,
    errmsg: known.message,
    code: known.code,
    codeName: known.codeName,
    ...known.details,
    ...(known.labels.length && { errorLabels: known.labels }),
  };
}

function unforeseen({ name, message }: Error): CommandError {
  return name === 'BSONError' ? new CommandError(22, `invalid BSON: ${message}`) : new CommandError(1, `internal error: ${message}`);
}
