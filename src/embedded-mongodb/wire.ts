import type { Long } from 'bson';
import { type Doc, decode, encode } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';

/** Messages of MongoDB's wire protocol: OP_MSG, and OP_QUERY for the first hello of a connection. */
const opcodes = { reply: 1, query: 2004, message: 2013 };
export const maxMessageBytes = 48_000_000;
/** The greatest number of documents in one write. */
export const maxBatch = 100_000;

const protocolError = (what: string) => new CommandError(17, what);

/** A batch of a cursor. The documents are stored bytes that are sent unchanged. */
interface Batch {
  name: 'firstBatch' | 'nextBatch';
  documents: Buffer[];
  cursorId: Long;
  namespace: string;
}

/** A reply. The batch becomes its field `cursor`. */
export type Reply = Record<string, unknown> & { batch?: Batch };

/** Splits the received bytes into complete messages. */
export class Framer {
  private chunks: Buffer[] = [];
  private bytes = 0;

  add(chunk: Buffer): Buffer[] {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.bytes < 16) return messages;
      if (this.chunks[0]!.length < 4) this.chunks = [Buffer.concat(this.chunks)];
      const length = this.chunks[0]!.readInt32LE(0);
      if (length < 16 || length > maxMessageBytes) throw new CommandError(17, `a message of ${length} bytes`);
      if (this.bytes < length) return messages;
      const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
      messages.push(all.subarray(0, length));
      this.chunks = all.length > length ? [all.subarray(length)] : [];
      this.bytes = all.length - length;
    }
  }
}

const opcodeOf = (message: Buffer) => message.readInt32LE(12);

/** Returns whether the client expects a reply. Does not parse the body. */
export function wantsReply(message: Buffer): boolean {
  return opcodeOf(message) !== opcodes.message || (message.readUInt32LE(16) & 2) === 0;
}

/** Parses the command in a message. */
export function readRequest(message: Buffer): Doc {
  const opcode = opcodeOf(message);
  if (opcode === opcodes.query) return readQuery(message);
  if (opcode !== opcodes.message) throw unsupported(`opcode ${opcode}`);
  if (message.length < 21) throw protocolError('a message without a section');
  const flags = message.readUInt32LE(16);
  // The second flag means that no reply is expected. The first one announces a checksum, which no driver sends.
  if (flags & ~0x10002 & 0xffff) throw protocolError(`unknown required flags ${flags}`);
  let command: Doc | undefined;
  const sequences = new Map<string, Doc[]>();
  for (let at = 20; at < message.length; ) {
    const kind = message[at++];
    const length = at + 5 > message.length ? 0 : message.readInt32LE(at);
    if (length < 5 || at + length > message.length) throw protocolError('a section with a wrong length');
    const end = at + length;
    if (kind === 0) {
      if (command) throw protocolError('a message with two bodies');
      command = decode(message.subarray(0, end), at);
    } else if (kind === 1) {
      const [name, documents] = readSequence(message, at, end);
      if (sequences.has(name)) throw protocolError('two sequences with the same name');
      sequences.set(name, documents);
    } else throw protocolError(`unknown section kind ${kind}`);
    at = end;
  }
  if (!command) throw protocolError('a message without a body');
  for (const [name, documents] of sequences) {
    if (command.has(name)) throw protocolError('a sequence with the name of a field of the body');
    command.set(name, documents);
  }
  return command;
}

/** Reads OP_QUERY: flags, the name of a collection, two numbers, and the command. */
function readQuery(message: Buffer): Doc {
  const end = message.indexOf(0, 20);
  if (message.length < 21 || end < 0) throw protocolError('a query without the name of its collection');
  const database = message.toString('utf8', 20, end).split('.')[0]!;
  return decode(message, end + 9).set('$db', database);
}

function readSequence(message: Buffer, start: number, end: number): [string, Doc[]] {
  const nameEnd = message.indexOf(0, start + 4);
  if (nameEnd < 0 || nameEnd >= end) throw protocolError('a sequence without a name');
  const documents: Doc[] = [];
  const section = message.subarray(0, end);
  for (let at = nameEnd + 1; at < end; ) {
    if (documents.length === maxBatch) throw new CommandError(16, `Write batch sizes must be between 1 and ${maxBatch}.`);
    documents.push(decode(section, at));
    // `decode` has checked the length: it is at least 5.
    at += message.readInt32LE(at);
  }
  return [message.toString('utf8', start + 4, nameEnd), documents];
}

/** Encodes a reply, in the protocol of its request. */
export function writeReply(request: Buffer, reply: Reply): Buffer {
  const isQuery = opcodeOf(request) === opcodes.query;
  // A reply to OP_QUERY contains the number of its documents, which is one.
  const rest = isQuery ? Buffer.from([...Array(16).fill(0), 1, 0, 0, 0]) : Buffer.alloc(5);
  return writeMessage(isQuery ? opcodes.reply : opcodes.message, request.readInt32LE(4), [rest, encodeReply(reply)]);
}

/** Encodes a command in the way a client does. */
export function writeRequest(command: Reply): Buffer {
  return writeMessage(opcodes.message, 0, [Buffer.alloc(5), encode(command)]);
}

let nextId = 1;

function writeMessage(opcode: number, responseTo: number, parts: Buffer[]): Buffer {
  const header = Buffer.alloc(16);
  const message = Buffer.concat([header, ...parts]);
  message.writeInt32LE(message.length, 0);
  message.writeInt32LE(nextId++ & 0x7fffffff, 4);
  message.writeInt32LE(responseTo, 8);
  message.writeInt32LE(opcode, 12);
  return message;
}

function encodeReply(reply: Reply): Buffer {
  const { batch, ...rest } = reply;
  if (!batch) return encode(rest);
  const { name, documents, cursorId, namespace } = batch;
  const array = wrap(documents.flatMap((document, i) => [field(0x03, String(i)), document]));
  const inner = wrap([field(0x04, name), array, encode({ id: cursorId, ns: namespace }).subarray(4, -1)]);
  return wrap([field(0x03, 'cursor'), inner, encode(rest).subarray(4, -1)]);
}

function field(type: number, name: string): Buffer {
  return Buffer.from(`${String.fromCharCode(type)}${name}\0`, 'latin1');
}

function wrap(parts: Buffer[]): Buffer {
  const document = Buffer.concat([Buffer.alloc(4), ...parts, Buffer.alloc(1)]);
  document.writeInt32LE(document.length, 0);
  return document;
}
