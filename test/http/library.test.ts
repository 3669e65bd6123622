import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Viewer } from '../../src/access/viewer.ts';
import * as library from '../../src/api.ts';
import { safeLogger } from '../../src/logger.ts';
import { type Json, TestGateway } from '../harness.ts';

// What code around the gateway can do wrong: nothing of it may open a door, lose an answer, or end the process.

const test = new TestGateway();
const caller = { organization: test.newOrganization() };
const viewer: Viewer = { organizationId: caller.organization, kind: 'token', subject: 'code', scopes: new Set(['all.Organization']) };

beforeAll(() => test.start());
afterAll(() => test.stop());

describe('execute', () => {
  const QUERY = '{ integrations { totalCount } }';
  const codeOf = async (operation: object) => {
    const { errors } = await test.gateway.execute({ query: QUERY, viewer, ...operation } as never);
    return errors?.[0]?.extensions.code;
  };
  const as = (changes: object) => codeOf({ viewer: { ...viewer, ...changes } });

  it('runs for a viewer of each kind', async () => {
    expect(await codeOf({})).toBeUndefined();
    const confinedTo = { integrationId: 'x'.repeat(24), endUserId: 'y'.repeat(24) };
    expect(await as({ kind: 'apiKey', confinedTo: { integrationId: confinedTo.integrationId } })).toBeUndefined();
    expect(await as({ kind: 'endUser', confinedTo })).toBeUndefined();
  });

  // An object would be a condition of a query, and reach other organizations.
  it.each([
    { organizationId: { $ne: 'x' } },
    { organizationId: '' },
    { organizationId: undefined },
    { organizationId: 'a b' },
    { kind: 'gateway' },
    { kind: 'other' },
    { subject: { $ne: '' } },
    { subject: '' },
    { subject: 'x'.repeat(256) },
    { scopes: ['all.Organization'] },
    { scopes: { has: () => true } },
    { scopes: new Set([{}]) },
    { issuedAt: 'today' },
    { keyHash: {} },
    { kind: 'endUser' },
    { kind: 'endUser', confinedTo: { integrationId: 'x' } },
    { confinedTo: { integrationId: { $ne: '' } } },
    { confinedTo: { integrationId: 'x', endUserId: 'y' } },
    { confinedTo: {} },
  ])('refuses a viewer that cannot be one: %j', async (changes) => {
    expect(await as(changes)).toBe('UNAUTHENTICATED');
  });

  it.each([
    [{ viewer: undefined }, 'UNAUTHENTICATED'],
    [{ viewer: null }, 'UNAUTHENTICATED'],
    [{ query: undefined }, 'BAD_REQUEST'],
    [{ query: 7 }, 'BAD_REQUEST'],
    [{ variables: 'x' }, 'BAD_REQUEST'],
    [{ variables: [] }, 'BAD_REQUEST'],
    [{ operationName: {} }, 'BAD_REQUEST'],
    [{ operationName: null, variables: null }, undefined],
  ])('refuses what is no operation: %j', async (operation, code) => {
    expect(await codeOf(operation)).toBe(code);
  });
});

describe('a server around the gateway', () => {
  /** Sends a request to a server with this listener. Null if there is no whole answer. */
  async function sent(listener: RequestListener, path = '/graphql'): Promise<{ status: number; body: Json } | null> {
    const server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${await test.token(caller)}` };
    const body = JSON.stringify({ query: '{ __typename }' });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    try {
      const response = await fetch(url, { method: 'POST', headers, body });
      const text = await response.text();
      return { status: response.status, body: text && JSON.parse(text) };
    } catch {
      return null;
    } finally {
      server.close();
      server.closeAllConnections();
    }
  }
  const pass: RequestListener = (request, response) => test.gateway.requestListener(request, response);

  // The service would get an empty request with the credentials, and the caller its answer.
  it.each(['/graphql', '/proxy/Q29ubmVjdGlvbjp4/v1'])('whose body parser ran before is told so, and nothing is sent: %s', async (path) => {
    const answer = await sent((request, response) => request.on('data', () => {}).on('end', () => pass(request, response)), path);
    expect(answer).toMatchObject({ status: 400 });
    expect(JSON.stringify(answer!.body)).toContain('no body parser may run before it');
    const request = new Request('http://localhost/graphql', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    await request.text();
    expect((await test.gateway.fetch(request)).status).toBe(400);
  });

  it('that has begun an answer does not end with it', async () => {
    expect(
      await sent((request, response) => {
        response.writeHead(200).write('begun');
        pass(request, response);
      }),
    ).toBeNull();
    expect(await sent(pass)).toMatchObject({ status: 200 });
  });
});

describe('a logger', () => {
  it('that throws loses no answer', async () => {
    const fail = () => {
      throw new Error('full');
    };
    const logger = safeLogger({ info: fail, warn: fail, error: fail });
    expect(() => logger.info({}, 'x')).not.toThrow();
  });
  it('without its methods is refused at the start', () => {
    expect(() => safeLogger({ info() {}, warn() {} } as never)).toThrow('error is missing');
  });
});

describe('createGateway of the library', () => {
  const key = { secret: new Uint8Array(Buffer.from('x9Jq4mT2vB8nL6cR1zK7wP3sD5fG0hYu', 'latin1')) };
  const tokens = { issuer: 'https://issuer.example', audience: 'a', organizationClaim: 'organization', key };
  const masterKey = new Uint8Array(Buffer.from('7fK2mQ9xW4vN8bR1cT6yL3pZ5sD0gHjA', 'latin1'));
  const options = { database: { uri: 'mongodb://127.0.0.1:1/?replicaSet=rs0', name: 'x' }, masterKeys: [masterKey], tokens };
  it.each([
    [{ masterKeys: [] }, 'masterKeys: there is no key'],
    [{ masterKeys: [new Uint8Array(0)] }, 'masterKeys: key 1 must be 32 bytes'],
    [{ masterKeys: [new Uint8Array(32)] }, 'masterKeys: the first key is a placeholder'],
    [{ masterKeys: [masterKey, { awsKmsKeyArn: 'alias/mine' }] }, 'masterKeys: key 2 must be the ARN of a key in AWS KMS'],
    [{ tokens: { ...tokens, key: { secret: new Uint8Array(0) } } }, 'tokens.key.secret must be at least 32 bytes'],
    [{ tokens: { ...tokens, key: { secret: Buffer.alloc(32, 'a') } } }, 'tokens.key.secret is a placeholder'],
  ])('refuses what others can guess', async (changes, message) => {
    await expect(library.createGateway({ ...options, ...changes })).rejects.toThrow(message);
  });
});
