import { once } from 'node:events';
import { type AddressInfo, createServer, connect as open, type Socket } from 'node:net';
import { BSON } from 'mongodb';

/** A command on its way that is not let through yet. */
export interface Held {
  /** Resolves when the command has come and is being held. */
  readonly reached: Promise<void>;
  /** Lets it, and all that come after it, through. */
  release(): void;
}

/** Commands that are answered with an error, on the way, until that ends. */
export interface Refusal {
  /** How many were. */
  readonly count: number;
  end(): void;
}

/** A stretch of wire between a gateway and its database on which one command can be held, so that a test decides who comes first. */
export interface Wire {
  /** The database, by way of this wire. */
  readonly uri: string;
  /** Holds the next command of one of these names that is part of a transaction. */
  hold(...commands: string[]): Held;
  /** Answers commands of these names that are part of a transaction itself, by what is made of their text. */
  refuse(commands: readonly string[], answer: (sent: string) => object): Refusal;
  /** Passes on nothing any more, in either direction, as if the database were stopped: what is sent waits. New connections wait, too. */
  freeze(): void;
  /** Freezes as soon as the next command of this name is answered. */
  freezeAfter(command: string): void;
  /** Passes on everything again, and what has waited. */
  thaw(): void;
  /** Closes all connections, and every new one, as if there were no database. */
  cut(): void;
  /** Lets new connections through again. */
  mend(): void;
  /**
   * Does with the next commit what is said, and answers itself that its outcome is unknown. Resolves when it is answered.
   */
  forgetCommit(outcome: 'committed' | 'aborted'): Promise<void>;
  close(): Promise<void>;
}

export async function wireTo(databaseUri: string): Promise<Wire> {
  const host = decodeURIComponent(/^mongodb:\/\/([^/?]+)/.exec(databaseUri)![1]!);
  const connectOn = () => {
    if (host.startsWith('/')) return open(host);
    const [name, port] = host.split(':');
    return open(Number(port ?? 27017), name);
  };
  let armed: { readonly commands: readonly string[]; readonly reached: () => void; readonly released: Promise<void> } | undefined;
  let refused: { readonly commands: readonly string[]; readonly answer: (sent: string) => object; count: number } | undefined;
  let forgotten: { readonly outcome: 'committed' | 'aborted'; readonly done: () => void } | undefined;
  /** The ids of messages whose answers do not reach the gateway. */
  const unanswered = new Set<number>();
  const sockets = new Set<Socket>();
  let isFrozen = false;
  let last: string | undefined;
  const freeze = () => {
    isFrozen = true;
    for (const socket of sockets) socket.pause();
  };
  let isCut = false;

  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const database = connectOn();
    for (const [socket, other] of [
      [client, database],
      [database, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    let isLast = false;
    let answers = Buffer.alloc(0);
    database.on('data', (bytes) => {
      answers = Buffer.concat([answers, bytes]);
      while (answers.length >= 4 && answers.length >= answers.readInt32LE(0)) {
        const answer = answers.subarray(0, answers.readInt32LE(0));
        answers = answers.subarray(answer.length);
        if (!unanswered.delete(answer.readInt32LE(8))) client.write(answer);
      }
      if (isLast) freeze();
      isLast = false;
    });
    if (isFrozen) database.pause();
    let pending = Buffer.alloc(0);
    let passing = Promise.resolve();
    if (isFrozen) queueMicrotask(() => client.pause());
    client.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes]);
      while (pending.length >= 4 && pending.length >= pending.readInt32LE(0)) {
        const message = pending.subarray(0, pending.readInt32LE(0));
        pending = pending.subarray(message.length);
        passing = passing.then(async () => {
          if (armed?.commands.includes(commandOf(message)) && message.includes('autocommit')) {
            const { reached, released } = armed;
            armed = undefined;
            reached();
            await released;
          }
          if (commandOf(message) === last) {
            last = undefined;
            isLast = true;
          }
          if (forgotten && commandOf(message) === 'commitTransaction') {
            const { outcome, done } = forgotten;
            forgotten = undefined;
            unanswered.add(message.readInt32LE(4));
            database.write(outcome === 'committed' ? message : renamed(message, 'abortTransaction'));
            client.write(reply(message, { ok: 0, code: 50, codeName: 'MaxTimeMSExpired', errmsg: 'operation exceeded time limit' }));
            done();
          } else if (refused?.commands.includes(commandOf(message)) && message.includes('autocommit')) {
            refused.count++;
            client.write(reply(message, refused.answer(message.toString('utf8').replaceAll('\0', ' '))));
          } else database.write(message);
        });
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    uri: `mongodb://127.0.0.1:${(server.address() as AddressInfo).port}/?directConnection=true`,
    hold(...commands) {
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const reached = new Promise<void>((resolve) => {
        armed = { commands, reached: resolve, released };
      });
      return { reached, release };
    },
    refuse(commands, answer) {
      const end = () => {
        refused = undefined;
      };
      const refusal = { commands, answer, count: 0, end };
      refused = refusal;
      return refusal;
    },
    freeze,
    freezeAfter(command) {
      last = command;
    },
    thaw() {
      isFrozen = false;
      for (const socket of sockets) socket.resume();
    },
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      isCut = false;
    },
    forgetCommit(outcome) {
      return new Promise((done) => {
        forgotten = { outcome, done };
      });
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const OP_MSG = 2013;
/** Where the name of the command stands in an OP_MSG: after its header, flags, the kind of its section, and a document's length and first type. */
const NAME_AT = 16 + 4 + 1 + 4 + 1;

function commandOf(message: Buffer): string {
  if (message.readInt32LE(12) !== OP_MSG) return '';
  return message.toString('utf8', NAME_AT, message.indexOf(0, NAME_AT));
}

/** The same OP_MSG with another command. */
function renamed(message: Buffer, command: string): Buffer {
  const [[, value], ...others] = Object.entries(BSON.deserialize(message.subarray(21), { promoteValues: false })) as [[string, unknown]];
  const body = BSON.serialize(Object.fromEntries([[command, value], ...others]));
  const sent = Buffer.alloc(21 + body.length);
  message.copy(sent, 0, 0, 21);
  sent.writeInt32LE(sent.length, 0);
  sent.set(body, 21);
  return sent;
}

/** An OP_MSG that answers another. */
function reply(message: Buffer, document: object): Buffer {
  const body = BSON.serialize(document);
  const answer = Buffer.alloc(16 + 4 + 1 + body.length);
  answer.writeInt32LE(answer.length, 0);
  answer.writeInt32LE(message.readInt32LE(4), 8);
  answer.writeInt32LE(OP_MSG, 12);
  answer.set(body, 21);
  return answer;
}
