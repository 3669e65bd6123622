import { connect } from 'node:net';
import { BSON, type Document } from 'mongodb';
import { encode } from '../../src/embedded-mongodb/bson.ts';
import { Framer, readRequest, writeRequest } from '../../src/embedded-mongodb/wire.ts';

/** Sends one command as it is, without a driver, which would add numbers and sessions of its own. */
export async function rawCommand(uri: string, database: string, command: Document): Promise<Document> {
  const socket = connect(decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(uri)![1]!));
  socket.write(writeRequest({ ...command, $db: database }));
  const framer = new Framer();
  for await (const chunk of socket) {
    for (const message of framer.add(chunk)) {
      socket.destroy();
      return BSON.deserialize(encode(readRequest(message)));
    }
  }
  throw new Error('no answer');
}
