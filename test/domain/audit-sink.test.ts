import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/index.ts';
import type { AuditSinkTarget } from '../../src/gateway/index.ts';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-sink-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let caller = { organization: '' };
const act = () => test.create(caller, 'Integration', { name: `i-${randomBytes(6).toString('hex')}` });
const stream = () => test.gateway.audit.stream();
const linesIn = (text: string): Json[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .filter(({ organization }) => organization === caller.organization);
async function sendTo(target: AuditSinkTarget, isRequired = false): Promise<void> {
  test.auditSink = { target, isRequired };
  await test.close();
  await test.open();
}

beforeEach(() => {
  caller = { organization: test.newOrganization() };
});
afterEach(() => {
  test.auditSink = undefined;
});

describe('a file', () => {
  it('gets every entry once, with its head, also after a restart', async () => {
    const path = join(directory, 'once');
    await sendTo({ kind: 'file', path });
    await act();
    await act();
    await stream();
    await act();
    await sendTo({ kind: 'file', path });
    await stream();
    await stream();
    const lines = linesIn(readFileSync(path, 'utf8'));
    expect(lines.map(({ type, sequence }) => [type, sequence])).toEqual([
      ['entry', 1],
      ['entry', 1],
      ['head', 1],
      ['entry', 2],
      ['head', 2],
    ]);
    const { auditLog } = await test.query(
      caller,
      '{ auditLog { nodes { id createdAt viewerKind subject address requestId action outcome objectId reason count } } }',
    );
    const sent = lines
      .filter(({ type }) => type === 'entry')
      .map(({ type: _, organization: _1, sequence: _2, ...entry }) => ({ ...entry, viewerKind: entry.viewerKind.toUpperCase() }));
    expect(sent.reverse()).toEqual(auditLog.nodes.map((node: Json) => ({ ...node, createdAt: new Date(node.createdAt).toISOString() })));
    expect(lines[4]).toMatchObject((await test.gateway.audit.verify(caller.organization))!.head!);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('with half a line at its end loses no line to it', async () => {
    const path = join(directory, 'half');
    writeFileSync(path, '{"type":"ent');
    await sendTo({ kind: 'file', path });
    await act();
    await stream();
    expect(readFileSync(path, 'utf8').startsWith('{"type":"ent\n{')).toBe(true);
  });

  it('gets again what nothing proves that it has got, and no cursor can be forged to keep it from getting anything', async () => {
    const path = join(directory, 'forged');
    await sendTo({ kind: 'file', path });
    await act();
    await stream();
    await test.database.collection('auditSinkCursors').updateOne({ organizationId: caller.organization }, { $set: { sequence: 99 } });
    await act();
    await stream();
    expect(linesIn(readFileSync(path, 'utf8')).map(({ type, sequence }) => `${type} ${sequence}`)).toEqual([
      ...['entry 1', 'head 1'],
      ...['entry 1', 'head 1', 'entry 2', 'head 2'],
    ]);
  });

  it('gets no batch that was changed after it was sealed', async () => {
    const path = join(directory, 'changed');
    await sendTo({ kind: 'file', path });
    await act();
    await test.gateway.audit.seal();
    await test.database.collection('auditEntries').updateOne({ organizationId: caller.organization }, { $set: { subject: 'mallory' } });
    test.logs.length = 0;
    await stream();
    expect(test.logs.join('\n')).toContain('a batch is not as it was sealed');
    expect(readFileSync(path, 'utf8')).not.toContain('mallory');
  });
});

describe('mutations, if the sink is required,', () => {
  const collections = ['auditEntries', 'auditSeals', 'auditHeads'].map((name) => () => test.database.collection<Json>(name));
  const mine = () => ({ organizationId: caller.organization });
  const mutate = (organization: string) =>
    test.answer({ organization }, `mutation { createIntegration(input: { name: "i-${randomBytes(6).toString('hex')}" }) { __typename } }`);
  const expectRefused = async () => {
    for (let round = 0; round < 2; round++) {
      test.logs.length = 0;
      await stream();
      expect(test.logs.join('\n')).toContain('the audit log was not streamed');
      expect((await mutate(caller.organization)).errors![0].extensions).toMatchObject({ code: 'UNAVAILABLE', outcome: 'NOT_EXECUTED' });
    }
    // Other organizations are not affected.
    expect((await mutate(test.newOrganization())).errors).toBeUndefined();
  };

  it('are refused for an organization whose log was put back while the gateway was stopped', async () => {
    const path = join(directory, 'put-back');
    await sendTo({ kind: 'file', path }, true);
    await act();
    await stream();
    const before = await Promise.all(collections.map((each) => each().find(mine()).toArray()));
    await act();
    await stream();
    await test.close();
    for (const [index, each] of collections.entries()) {
      await each().deleteMany(mine());
      await each().insertMany(before[index]!);
    }
    await test.open();
    await expectRefused();
  });

  it('are refused for an organization whose batch was changed', async () => {
    await sendTo({ kind: 'file', path: join(directory, 'broken') }, true);
    await act();
    await test.gateway.audit.seal();
    await test.database.collection('auditEntries').updateOne(mine(), { $set: { subject: 'mallory' } });
    await expectRefused();
  });
});

describe('a collector', () => {
  const received: { readonly body: string; readonly authorization: string | undefined }[] = [];
  let status = 200;
  let server: Server;
  beforeEach(async () => {
    received.length = 0;
    status = 200;
    server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      received.push({ body, authorization: request.headers.authorization });
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => server.close());
  const url = () => new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/audit`);

  it('gets what it refused once more, and mutations are refused meanwhile if it is required', async () => {
    await sendTo({ kind: 'http', url: url(), token: 'collector-token' }, true);
    await act();
    status = 500;
    await expect(stream()).rejects.toThrow();
    const refused = await test.answer(caller, 'mutation { createIntegration(input: { name: "a" }) { __typename } }');
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('10');
    expect(refused.errors![0].extensions).toMatchObject({ code: 'UNAVAILABLE', retryAfter: 10, outcome: 'NOT_EXECUTED' });
    expect((await test.query(caller, '{ integrations { totalCount } }')).integrations.totalCount).toBe(1);
    status = 200;
    await stream();
    await act();
    const [failed, ...others] = received.filter(({ body }) => body.includes(caller.organization));
    expect(others.map(({ body }) => body)).toEqual([failed!.body]);
    expect(received.every(({ authorization }) => authorization === 'Bearer collector-token')).toBe(true);
  });

  it('that fails does not stop mutations if it is not required', async () => {
    await sendTo({ kind: 'http', url: url(), token: undefined });
    status = 500;
    await act();
    await expect(stream()).rejects.toThrow();
    await act();
  });

  it('is not followed elsewhere', async () => {
    await sendTo({ kind: 'http', url: url(), token: 'collector-token' });
    status = 302;
    await act();
    await expect(stream()).rejects.toThrow();
    expect(received.length).toBeGreaterThan(0);
    expect(linesIn(received.map(({ body }) => body).join('')).filter(({ type }) => type === 'head')).toHaveLength(1);
  });

  it('is sent to by two copies, in the order of each log', async () => {
    await sendTo({ kind: 'http', url: url(), token: undefined });
    const first = test.gateway;
    await test.open();
    try {
      for (let round = 0; round < 3; round++) {
        await act();
        await Promise.all([first.audit.stream(), stream()]);
      }
      const sequences = received.flatMap(({ body }) => linesIn(body)).flatMap(({ type, sequence }) => (type === 'head' ? [sequence] : []));
      expect([...new Set(sequences)]).toEqual([1, 2, 3]);
    } finally {
      await first.stop();
    }
  });
});

describe('the settings', () => {
  const sinkOf = (AUDIT_SINK: string, more = {}) => readConfig({ AUDIT_SINK, ...more }).auditSink;

  it('take stdout, a file and a collector', () => {
    expect(sinkOf('stdout')).toEqual({ target: { kind: 'stdout' }, isRequired: false });
    expect(sinkOf('file:/var/log/audit', { AUDIT_SINK_REQUIRED: 'true' })).toEqual({
      target: { kind: 'file', path: '/var/log/audit' },
      isRequired: true,
    });
    expect(sinkOf('https://collector.example/in', { AUDIT_SINK_TOKEN: 't' })).toMatchObject({ target: { kind: 'http', token: 't' } });
    expect(sinkOf('http://127.0.0.1:8080/in')).toMatchObject({ target: { kind: 'http' } });
  });

  it.each(['http://collector.example/in', 'file:audit', 'file:', 'ftp://x', 'https://user:pass@collector.example/', 'syslog'])(
    'refuse %s',
    (sink) => {
      expect(() => sinkOf(sink)).toThrow(/AUDIT_SINK must be/);
    },
  );

  it('refuse what has no meaning together', () => {
    expect(() => readConfig({ AUDIT_SINK_REQUIRED: 'true' })).toThrow(/AUDIT_SINK is missing/);
    expect(() => sinkOf('stdout', { AUDIT_SINK_TOKEN: 't' })).toThrow(/AUDIT_SINK_TOKEN/);
  });
});

describe('reads of credentials', () => {
  it('are summed by viewer and owner if they are logged, and not written otherwise', async () => {
    test.logsReads = true;
    await test.close();
    await test.open();
    const integration = await act();
    const endUser = await test.create(caller, 'EndUser', { integration: { id: integration.id }, externalId: 'x' });
    for (const owner of [{}, { endUser: { id: endUser.id } }]) {
      for (const name of ['a', 'b']) {
        await test.create(caller, 'Credential', { integration: { id: integration.id }, name, data: { string: { value: 'v' } }, ...owner });
      }
    }
    await test.gateway.audit.seal();
    await test.query(caller, '{ credentials { nodes { ... on CredentialBase { name } } } }');
    await test.query(caller, '{ credentials { nodes { ... on CredentialBase { name } } } }');
    await test.gateway.audit.seal();
    const log = '{ auditLog(action: readCredentials) { nodes { subject count objectId outcome isSealed } } }';
    const byCount = (await test.query(caller, log)).auditLog.nodes;
    expect(byCount).toHaveLength(2);
    for (const objectId of [integration.id, endUser.id]) {
      expect(byCount).toContainEqual({ subject: 'tester', count: 4, objectId, outcome: 'SUCCESS', isSealed: true });
    }
    test.logsReads = false;
    await test.close();
    await test.open();
    await test.query(caller, '{ credentials { nodes { ... on CredentialBase { name } } } }');
    await test.gateway.audit.seal();
    expect((await test.query(caller, log)).auditLog.nodes).toHaveLength(2);
  });

  it('of many owners and viewers are few entries', async () => {
    const { createCredentialReads } = await import('../../src/domain/reads.ts');
    const reads = createCredentialReads();
    for (let index = 0; index < 30_000; index++) {
      const viewer = { organizationId: 'acme', kind: 'token', subject: `viewer ${index % 600}`, scopes: new Set<string>() } as const;
      reads.add(viewer, [{ integrationId: 'i', endUserId: `end user ${index}` }]);
    }
    const written: Json[] = [];
    const store = { organization: { state: async () => 'live' }, audit: { insert: async (record: Json) => void written.push(record) } };
    await reads.flush({ of: () => store } as never, new Date());
    expect(written.length).toBeLessThanOrEqual(10_001);
    expect(written.reduce((sum, { count }) => sum + count, 0)).toBe(30_000);
    written.length = 0;
    const viewer = { organizationId: 'acme', kind: 'token', subject: 'ada', scopes: new Set<string>() } as const;
    for (let index = 0; index < 100; index++) reads.add(viewer, [{ integrationId: 'i', endUserId: `end user ${index}` }]);
    await reads.flush({ of: () => store } as never, new Date());
    expect(written).toHaveLength(21);
    expect(written).toContainEqual(expect.objectContaining({ subject: 'ada', objectId: null, count: 80 }));
  });
});

describe('a required sink', () => {
  const changes = async (organization: string) => {
    const mutation = `mutation { createIntegration(input: { name: "i-${randomBytes(6).toString('hex')}" }) { __typename } }`;
    const { data, errors } = await test.answer({ organization }, mutation);
    return errors?.[0].extensions.code ?? data.createIntegration.__typename;
  };

  it('is not failing because an organization was deleted', async () => {
    await sendTo({ kind: 'file', path: join(directory, 'deleted') }, true);
    const other = test.newOrganization();
    await act();
    await test.gateway.deleteOrganization(caller.organization);
    await stream();
    expect(await changes(other)).toBe('CreateIntegrationSuccess');
  });

  it('refuses the changes of an organization whose log was put back, and of no other', async () => {
    await sendTo({ kind: 'file', path: join(directory, 'put-back') }, true);
    const mine = { organizationId: caller.organization };
    const names = ['auditEntries', 'auditSeals', 'auditHeads'];
    const all = () => Promise.all(names.map((name) => test.database.collection<Json>(name).find(mine).toArray()));
    await act();
    await stream();
    const then = await all();
    await act();
    await stream();
    await test.close();
    for (const [index, name] of names.entries()) {
      await test.database.collection(name).deleteMany(mine);
      await test.database.collection<Json>(name).insertMany(then[index]!);
    }
    await test.open();
    await stream();
    expect(await changes(caller.organization)).toBe('UNAVAILABLE');
    expect(await changes(test.newOrganization())).toBe('CreateIntegrationSuccess');
    expect(test.logs.join('')).toContain('the audit log was not streamed');
  });
});
