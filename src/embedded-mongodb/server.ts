import { chmodSync } from 'node:fs';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import { Binary, Long, Timestamp } from 'bson';
import type { Peer, ServerState } from './command.ts';
import { Cursors } from './cursors.ts';
import type { Address } from './directory-lock.ts';
import { runCommand } from './dispatch.ts';
import { CommandError } from './errors.ts';
import { Sessions } from './sessions.ts';
import type { Storage } from './storage.ts';
import { Turns } from './turns.ts';
import { Framer, type Reply, readRequest, wantsReply, writeReply } from './wire.ts';

/** Listens for connections and replies to their messages. */
export class Server {
  private readonly state: ServerState;
  private readonly net: NetServer;
  private readonly sockets = new Set<Socket>();
  private readonly sweeper: NodeJS.Timeout;
  private connections = 0;
  private time = 0n;

  /** `identity` tells an attaching process that this server serves the expected data directory. */
  constructor(storage: Storage, identity: string) {
    const cursors = new Cursors();
    this.state = { storage, identity, sessions: new Sessions((session) => cursors.closeOf(session)), cursors, turns: new Turns() };
    this.net = createServer((socket) => this.accept(socket));
    this.sweeper = setInterval(() => this.sweep(), 60_000).unref();
  }

  /** Listens on a unix socket that only this user may connect to, or on TCP. Returns the address. */
  listen(address: Address): Promise<Address> {
    return new Promise((resolve, reject) => {
      this.net.once('error', reject);
      this.net.listen(address, () => {
        this.net.off('error', reject);
        this.net.on('error', () => {});
        if ('path' in address) makePrivate(address.path);
        resolve('path' in address ? address : { ...address, port: (this.net.address() as AddressInfo).port });
      });
    });
  }

  /** Stops listening, closes connections and aborts open transactions. Does not close the storage. */
  async stop(): Promise<void> {
    clearInterval(this.sweeper);
    const closed = new Promise((resolve) => this.net.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    this.state.sessions.abortAll();
    await closed;
    // Statements that have paused end now, because their clients are gone.
    await this.state.turns.idle();
  }

  private sweep(): void {
    this.state.cursors.sweep();
    this.state.sessions.sweep(this.state.storage).catch(() => {});
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    const { localAddress, localPort } = socket;
    const address = localAddress ? `${localAddress}:${localPort}` : String(this.net.address());
    const peer: Peer = { id: ++this.connections, address, sessions: new Set(), isClosed: false };
    socket.on('close', () => {
      peer.isClosed = true;
      this.sockets.delete(socket);
      this.state.sessions.disconnect(peer);
      this.state.cursors.closeOf(peer);
    });
    const framer = new Framer();
    const waiting: Buffer[] = [];
    let isServing = false;
    // Messages of one connection are processed one after the other, as clients expect. While one is, nothing more is read.
    const serve = async () => {
      isServing = true;
      for (let message = waiting.shift(); message && !socket.destroyed; message = waiting.shift()) {
        await this.answer(socket, message, peer);
        // Other connections get their turn, however many messages a client sends at once.
        if (waiting.length) await new Promise(setImmediate);
      }
      isServing = false;
      socket.resume();
    };
    socket.on('data', (chunk) => {
      try {
        waiting.push(...framer.add(chunk));
      } catch {
        socket.destroy();
        return;
      }
      if (isServing) socket.pause();
      else if (waiting.length) serve().catch(() => socket.destroy());
    });
  }

  /** Resolves when the client has read so much that not much is kept in memory for it. */
  private async answer(socket: Socket, message: Buffer, peer: Peer): Promise<void> {
    const reply = await this.replyTo(message, peer);
    if (!socket.writable || !wantsReply(message)) return;
    if (socket.write(writeReply(message, { ...reply, ...this.logicalTime() }))) return;
    socket.pause();
    await new Promise<void>((resolve) => {
      const finish = () => {
        socket.off('drain', finish).off('close', finish);
        resolve();
      };
      socket.on('drain', finish).on('close', finish);
    });
  }

  /**
   * Drivers pass this time between connections to read their own writes. Here every read sees all writes, so the time only needs to
   * increase.
   */
  private logicalTime(): Reply {
    const second = BigInt(Math.floor(Date.now() / 1_000)) << 32n;
    this.time = this.time < second ? second : this.time + 1n;
    const time = new Timestamp(this.time);
    return {
      operationTime: time,
      $clusterTime: { clusterTime: time, signature: { hash: new Binary(Buffer.alloc(20)), keyId: Long.ZERO } },
    };
  }

  private async replyTo(message: Buffer, peer: Peer): Promise<Reply> {
    try {
      return await runCommand(this.state, readRequest(message), peer);
    } catch (error) {
      return failure(error instanceof CommandError ? error : unforeseen(error as Error));
    }
  }
}

function failure({ message, code, codeName, details, labels }: CommandError): Reply {
  return { ok: 0, errmsg: message, code, codeName, ...details, ...(labels.length && { errorLabels: labels }) };
}

/** Converts an unexpected error to a reply, so that it does not stop the server. */
function unforeseen(error: Error): CommandError {
  return new CommandError(1, `internal error: ${error.message}`);
}

/** Lets only this user connect to a socket. Another process that became the owner of the data directory meanwhile can have removed it: then this one uses that server. */
function makePrivate(socket: string): void {
  try {
    chmodSync(socket, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
