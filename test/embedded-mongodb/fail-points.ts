import { connect, createServer, type Server, type Socket } from 'node:net';
import { BSON, type Document } from 'mongodb';

/**
 * Stands between a driver and the server and does what MongoDB's fail points do, so that the server itself needs none and refuses
 * `configureFailPoint`, as a MongoDB does that was not started for tests.
 * Sources: the transactions specification's tests, "Server Fail Point"; the retryable writes specification's tests, "Fail Points"; for
 * error labels, `error_labels.cpp` and the category RetriableError of `error_codes.yml` in MongoDB's source.
 */
export class FailPoints {
  /** The errors that came from the server itself: whole answers and parts of bulk writes. */
  readonly errors: { code: number; message: string }[] = [];
  private readonly points = new Map<string, { data: Document; left: number }>();
  private readonly net: Server;
  /** Retryable writes that the server has run: sent again, they are answered and not run, and pass no fail point of a write. */
  private readonly written = new Set<string>();
  private address = '';

  constructor(serverSocket: string) {
    this.net = createServer((client) => this.relay(client, connect(serverSocket)));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.net.listen(0, '127.0.0.1', resolve));
    this.address = `127.0.0.1:${(this.net.address() as { port: number }).port}`;
    return `mongodb://${this.address}/?replicaSet=embedded`;
  }

  stop(): void {
    this.net.close();
  }

  clear(): void {
    this.points.clear();
    this.written.clear();
    this.errors.length = 0;
  }

  private relay(client: Socket, server: Socket): void {
    const answers: ((answer: Buffer) => Buffer | undefined)[] = [];
    forward(client, server, (request) => {
      const command = body(request);
      const name = Object.keys(command)[0]!;
      const isHello = /^(hello|ismaster)$/i.test(name);
      const fail = this.take('failCommand', (data) => data.failCommands.includes(name));
      const number =
        command.txnNumber && command.autocommit === undefined ? `${command.lsid.id.toString('hex')} ${command.txnNumber}` : undefined;
      const write = this.take('onPrimaryTransactionalWrite', () => number !== undefined && !this.written.has(number));
      const code = fail?.errorCode ?? write?.failBeforeCommitExceptionCode;
      const closes = fail ? fail.closeConnection : write && write.closeConnection !== false;
      const answer = (reply: Document) => answerTo(request, reply);
      if (name === 'configureFailPoint') return void client.write(answer(this.configure(command)));
      if (closes && (fail || code)) return void client.destroy();
      if (code)
        return void client.write(answer({ ok: 0, code, ...named(code), ...labels(command, { code }, fail), errmsg: 'a fail point' }));
      if (number) this.written.add(number);
      server.write(request);
      // Flag 2: the driver reads no answer, and the server sends none.
      if (opcode(request) === opcodes.message && request.readUInt32LE(16) & 2) return;
      answers.push((bytes) => {
        if (closes) return void client.destroy();
        const reply = body(bytes);
        for (const { code, errmsg } of [reply, ...(reply.writeErrors ?? [])])
          if (code) this.errors.push({ code: Number(code), message: errmsg });
        if (isHello) return answer({ ...reply, me: this.address, primary: this.address, hosts: [this.address] });
        const { writeConcernError } = fail ?? {};
        if (!writeConcernError) return bytes;
        const concern = { ...named(writeConcernError.code), ...writeConcernError };
        return answer({ ...reply, writeConcernError: concern, ...labels(command, { concern: writeConcernError.code }, fail) });
      });
    });
    forward(server, client, (bytes) => {
      const changed = answers.shift()?.(bytes);
      if (changed) client.write(changed);
    });
  }

  private configure({ configureFailPoint: name, mode, data = {} }: Document): Document {
    const left = mode === 'alwaysOn' ? Number.POSITIVE_INFINITY : mode === 'off' ? 0 : Number(mode.times);
    const known = ['failCommands', 'errorCode', 'closeConnection', 'writeConcernError', 'errorLabels', 'failBeforeCommitExceptionCode'];
    if (Number.isNaN(left) || Object.keys(data).some((key) => !known.includes(key)))
      return { ok: 0, code: 238, errmsg: `a fail point of this kind: ${JSON.stringify({ mode, data })}` };
    this.points.set(name, { data, left });
    return { ok: 1 };
  }

  private take(name: string, applies: (data: Document) => boolean): Document | undefined {
    const point = this.points.get(name);
    if (!point?.left || !applies(point.data)) return undefined;
    point.left--;
    return point.data;
  }
}

/** Cuts what arrives into messages. */
function forward(from: Socket, to: Socket, each: (message: Buffer) => void): void {
  let waiting: Buffer = Buffer.alloc(0);
  from.on('data', (chunk) => {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.length >= 16 && waiting.length >= waiting.readInt32LE(0)) {
      const message = waiting.subarray(0, waiting.readInt32LE(0));
      waiting = waiting.subarray(message.length);
      each(message);
    }
  });
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
}

/** Of the first message of a connection and its answer, and of all others. */
const opcodes = { query: 2004, reply: 1, message: 2013 };
const opcode = (message: Buffer) => message.readInt32LE(12);

/** The body of a message. Numbers keep their classes, since an answer may be sent on. */
function body(message: Buffer): Document {
  const at = { [opcodes.query]: message.indexOf(0, 20) + 9, [opcodes.reply]: 36 }[opcode(message)] ?? 21;
  return BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), { promoteValues: false });
}

function answerTo(request: Buffer, reply: Document): Buffer {
  const isQuery = opcode(request) === opcodes.query;
  const message = Buffer.concat([Buffer.alloc(isQuery ? 36 : 21), BSON.serialize(reply)]);
  const header = [message.length, 0, request.readInt32LE(4), isQuery ? opcodes.reply : opcodes.message];
  for (const [i, field] of header.entries()) message.writeInt32LE(field, i * 4);
  // The number of documents.
  if (isQuery) message.writeInt32LE(1, 32);
  return message;
}

const retryable = new Set([6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436]);
const transient = new Set([24, 112, 246, 267]);

/** The labels of an answer that is an error, or of one beside which a write concern failed. */
function labels(command: Document, { code, concern }: { code?: unknown; concern?: unknown }, data?: Document): Document {
  if (data?.errorLabels) return { errorLabels: data.errorLabels };
  const ends = Boolean(command.commitTransaction || command.abortTransaction);
  const inTransaction = command.autocommit !== undefined;
  if ((ends || (command.txnNumber && !inTransaction)) && retryable.has(Number(code ?? concern)))
    return { errorLabels: ['RetryableWriteError'] };
  const number = Number(code);
  const isTransient = inTransaction && (transient.has(number) || number === 251 || (!ends && retryable.has(number)));
  return isTransient ? { errorLabels: ['TransientTransactionError'] } : {};
}

const codeNames: Record<number, string> = {
  50: 'MaxTimeMSExpired',
  79: 'UnknownReplWriteConcern',
  100: 'UnsatisfiableWriteConcern',
  251: 'NoSuchTransaction',
  11601: 'Interrupted',
};
const named = (code: number) => (codeNames[Number(code)] ? { codeName: codeNames[Number(code)] } : {});
