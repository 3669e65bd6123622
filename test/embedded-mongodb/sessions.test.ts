import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Binary, type Document, Long, UUID } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { writeRequest } from '../../src/embedded-mongodb/wire.ts';
import { rawCommand } from './raw.ts';

// What no driver sends, and MongoDB's answers to it: it must not be taken for something else, and an error must have done nothing.
// Sources: https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md,
// https://www.mongodb.com/docs/manual/core/transactions-operations/, and https://www.mongodb.com/docs/manual/reference/write-concern/.
const directory = mkdtempSync(join(tmpdir(), 'embedded-sessions-'));
let server: EmbeddedMongodb;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const run = (command: Document, database = 'rules') => rawCommand(server.uri, database, command);
const long = Long.fromNumber;
const newSession = () => ({ lsid: { id: new UUID() } });
const ids = async () => (await run({ find: 'things', sort: { _id: 1 } })).cursor.firstBatch.map(({ _id }: Document) => _id);

beforeEach(async () => {
  await run({ drop: 'things' });
  await run({ insert: 'things', documents: [{ _id: 1 }, { _id: 2 }] });
});

const insert = { insert: 'things', documents: [{ _id: 3 }] };
const numbered = { ...newSession(), txnNumber: long(1) };

it.each<[string, Document, number, string?]>([
  ['a number that is no int64', { ...insert, ...newSession(), txnNumber: 1 }, 14],
  ['a negative number', { ...insert, ...newSession(), txnNumber: long(-1) }, 72],
  [
    'a negative number of a transaction',
    { ...insert, ...newSession(), txnNumber: long(-1), autocommit: false, startTransaction: true },
    72,
  ],
  ['a number without a session', { ...insert, txnNumber: long(1) }, 72],
  ['a number for what does not write', { find: 'things', ...numbered }, 50768],
  ['the number of a statement', { ...insert, ...numbered, stmtId: 1 }, 40415],
  ['an unknown field of a session', { ...insert, lsid: { id: new UUID(), name: 'x' } }, 40415],
  ['a session that is no UUID', { ...insert, lsid: { id: new Binary(Buffer.alloc(16), 0) } }, 14],
  ['autocommit: true', { ...insert, ...numbered, autocommit: true }, 72],
  ['startTransaction: false', { ...insert, ...numbered, autocommit: false, startTransaction: false }, 72],
  ['startTransaction alone', { ...insert, ...numbered, startTransaction: true }, 72],
  ['a commit without autocommit', { commitTransaction: 1, ...numbered }, 50768, 'admin'],
  ['a transaction in admin', { ...insert, ...numbered, autocommit: false, startTransaction: true }, 263, 'admin'],
  ['a read concern of a write', { ...insert, readConcern: { level: 'majority' } }, 72],
  ['a read concern of no level', { ...insert, readConcern: { level: 'all' } }, 9],
  ['a write concern of a read', { find: 'things', writeConcern: { w: 1 } }, 72],
  ['w below zero', { ...insert, writeConcern: { w: -1 } }, 9],
  ['w above 50', { ...insert, writeConcern: { w: 51 } }, 9],
  ['a fraction as w', { ...insert, writeConcern: { w: 1.5 } }, 9],
  ['tags as w', { ...insert, writeConcern: { w: { place: 1 } } }, 9],
  ['an unknown field of a write concern', { ...insert, writeConcern: { w: 1, nope: 1 } }, 40415],
])('%s is an error, and nothing was done', async (_, command, code, database) => {
  expect(await run(command, database)).toMatchObject({ ok: 0, code });
  expect(await ids()).toEqual([1, 2]);
});

it('a retryable write is of one document', async () => {
  const update = { update: 'things', updates: [{ q: {}, u: { $set: { n: 1 } }, multi: true }] };
  expect(await run({ ...update, ...newSession(), txnNumber: long(1) })).toMatchObject({ ok: 1, n: 0, writeErrors: [{ code: 72 }] });
  const remove = { delete: 'things', deletes: [{ q: {}, limit: 0 }] };
  expect(await run({ ...remove, ...newSession(), txnNumber: long(1) })).toMatchObject({ ok: 1, n: 0, writeErrors: [{ code: 72 }] });
  expect(await ids()).toEqual([1, 2]);
});

it('the first error ends a batch of a transaction, and the transaction', async () => {
  const inside = { ...newSession(), txnNumber: long(1), autocommit: false };
  const documents = [{ _id: 3 }, { _id: 1 }, { _id: 2 }, { _id: 4 }];
  const answer = await run({ insert: 'things', documents, ordered: false, ...inside, startTransaction: true });
  expect(answer).toMatchObject({ ok: 1, n: 1, writeErrors: [{ index: 1, code: 11000 }] });
  expect(answer.writeErrors).toHaveLength(1);
  expect(await run({ find: 'things', ...inside })).toMatchObject({ code: 251 });
  expect(await ids()).toEqual([1, 2]);
});

it('a transaction outlives what is refused before it is looked up', async () => {
  const inside = { ...newSession(), txnNumber: long(2), autocommit: false };
  expect(await run({ ...insert, ...inside, startTransaction: true })).toMatchObject({ ok: 1, n: 1 });
  const another = { insert: 'things', documents: [{ _id: 4 }] };
  expect(await run({ ...another, ...inside, writeConcern: { w: 1 } })).toMatchObject({ code: 72 });
  expect(await run({ ...another, ...inside, readConcern: { level: 'local' } })).toMatchObject({ code: 72 });
  expect(await run({ count: 'things', ...inside })).toMatchObject({ code: 263 });
  expect(await run({ commitTransaction: 1, ...inside })).toMatchObject({ code: 13 });
  expect(await run({ commitTransaction: 1, ...inside, txnNumber: long(1) }, 'admin')).toMatchObject({ code: 225 });
  expect(await run({ abortTransaction: 1, ...inside, txnNumber: long(1) }, 'admin')).toMatchObject({ code: 225 });
  expect(await run({ commitTransaction: 1, ...inside, writeConcern: { w: 'nope' } }, 'admin')).toMatchObject({
    ok: 1,
    writeConcernError: { code: 79 },
  });
  expect(await ids()).toEqual([1, 2, 3]);
});

it('a commit that is sent again before it was answered has the answer of the first', async () => {
  const inside = { ...newSession(), txnNumber: long(1), autocommit: false };
  expect(await run({ ...insert, ...inside, startTransaction: true })).toMatchObject({ ok: 1, n: 1 });
  const path = decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!);
  const send = async (socket: Socket, command: Document) => {
    socket.write(writeRequest({ ...command, $db: 'admin' }));
    const [message] = await once(socket, 'data');
    return message.toString('latin1').replace(/[^ -~]+/g, ' ');
  };
  // On connections that are in use, they arrive at one moment.
  const sockets = [connect(path), connect(path), connect(path)];
  await Promise.all(sockets.map((socket) => send(socket, { ping: 1 })));
  const commands = [{ commitTransaction: 1 }, { commitTransaction: 1 }, { abortTransaction: 1 }];
  const [first, second, abort] = await Promise.all(commands.map((command, i) => send(sockets[i]!, { ...command, ...inside })));
  for (const socket of sockets) socket.destroy();
  expect(first).not.toContain('errmsg');
  expect(second).not.toContain('errmsg');
  expect(abort).toContain('TransactionCommitted');
  expect(await ids()).toEqual([1, 2, 3]);
});
