import { maxDocumentBytes } from './bson.ts';
import { type Command, type Context, command } from './command.ts';
import { sessionMinutes } from './sessions.ts';
import { maxBatch, maxMessageBytes, type Reply } from './wire.ts';

/** Commands about the server, connections and sessions, which drivers send first. */

const helloOptions = {
  hello: 'any',
  ismaster: 'any',
  isMaster: 'any',
  helloOk: 'bool',
  client: 'doc',
  compression: 'array',
  backpressure: 'any',
} as const;

/** The server reports itself as the primary of a replica set, version 7.0. */
function hello({ peer, identity }: Context): Reply {
  return {
    helloOk: true,
    isWritablePrimary: true,
    ismaster: true,
    setName: 'embedded',
    hosts: [peer.address],
    primary: peer.address,
    me: peer.address,
    maxBsonObjectSize: maxDocumentBytes,
    maxMessageSizeBytes: maxMessageBytes,
    maxWriteBatchSize: maxBatch,
    localTime: new Date(),
    logicalSessionTimeoutMinutes: sessionMinutes,
    connectionId: peer.id,
    minWireVersion: 0,
    maxWireVersion: 21,
    embedded: identity,
  };
}

const buildInfoOptions = { buildInfo: 'any', buildinfo: 'any' } as const;
const buildInfo = (): Reply => ({
  version: '7.0.0',
  versionArray: [7, 0, 0, 0],
  bits: 64,
  maxBsonObjectSize: maxDocumentBytes,
  storageEngines: ['lmdb'],
});

export const connectionCommands: [string, Command][] = [
  command('hello', helloOptions, hello),
  command('ismaster', helloOptions, hello),
  command('isMaster', helloOptions, hello),
  command('buildInfo', buildInfoOptions, buildInfo),
  command('buildinfo', buildInfoOptions, buildInfo),
  command('ping', { ping: 'any' }, () => ({})),
  command('connectionStatus', { connectionStatus: 'any', showPrivileges: 'bool' }, () => ({
    authInfo: { authenticatedUsers: [], authenticatedUserRoles: [], authenticatedUserPrivileges: [] },
  })),
  command('endSessions', { endSessions: 'docs' }, ({ sessions, cursors, peer }, { endSessions = [] }) => {
    for (const lsid of endSessions) {
      const session = sessions.get(lsid, peer);
      sessions.end(session);
      cursors.closeOf(session);
    }
    return {};
  }),
];
