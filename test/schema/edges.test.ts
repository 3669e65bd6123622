import { getNamedType, isCompositeType, parse } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { scopes } from '../../src/access/scopes.ts';
import { operationCost } from '../../src/schema/index.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { decidesByNoun, objectTypes, schema } from '../contracts/walk.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';

// Whoever gets the id of an object can also ask for the object, without a second request.
const test = useTestGateway();
const INTEGRATION = { name: 'crm' };
const HOST = 'api.example.com';
let caller: Caller;
const ids: Record<string, string> = {};

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  ids.integration = (await test.create(caller, 'Integration', INTEGRATION)).id;
  const connector = { integration: INTEGRATION, name: 'service', baseUrl: `https://${HOST}` };
  ids.connector = (await test.create(caller, 'Connector', connector)).id;
  for (let index = 0; index < 20; index++) {
    const externalId = `customer-${index}`;
    ids.endUser = (await test.create(caller, 'EndUser', { integration: INTEGRATION, externalId })).id;
    const create = { name: `login ${index}`, data: { basicAuth: { username: 'ada', password: 'hunter2' } } };
    const connection = await test.create(caller, 'Connection', {
      integration: INTEGRATION,
      connector: { id: ids.connector },
      endUser: { id: ids.endUser },
      name: `connection ${index}`,
      actionCredentials: [{ credential: { create } }],
    });
    ids.connection = connection.id;
  }
  const query = 'query ($id: ID!) { connection(by: { id: $id }) { actionCredentials { credentialId } } }';
  ids.credential = (await test.query(caller, query, { id: ids.connection })).connection.actionCredentials[0].credentialId;
  await eventsOf(caller, 'id');
}, 60_000);

async function eventsOf(viewer: Caller, selection: string): Promise<Json[]> {
  return (await test.query(viewer, `{ events(first: 100) { nodes { ${selection} } } }`)).events.nodes;
}

/** Everything but some scopes: each by its name, for a wildcard would cover it. */
const without = (...missing: string[]): Caller => ({ ...caller, scopes: scopes.filter((scope) => !missing.includes(scope)) });

it('every field for the id of another object has a field for the object', () => {
  const alone = objectTypes.flatMap((type) =>
    Object.values(type.getFields()).flatMap(({ name, type: given }) => {
      if (getNamedType(given).name !== 'ID' || !/Ids?$/.test(name)) return [];
      const edge = type.getFields()[name.replace(/Id(s?)$/, '$1')];
      return edge && isCompositeType(getNamedType(edge.type)) ? [] : [`${type.name}.${name}`];
    }),
  );
  // What was deleted is gone.
  expect(alone.filter((name) => !/Success\.deletedId$/.test(name))).toEqual([]);
  expect(alone.length).toBeGreaterThan(5);
});

it('an object of any noun is given by the fields that this file tests, and by `InUseUsage.node`', () => {
  const all = objectTypes.flatMap((type) =>
    Object.values(type.getFields()).flatMap((field) => (decidesByNoun(field) ? [`${type.name}.${field.name}`] : [])),
  );
  expect(all.sort()).toEqual(['AuditEntry.object', 'Event.cause', 'Event.object', 'InUseUsage.node']);
});

describe('the objects of a page', () => {
  const OBJECT = '{ __typename id ... on Connection { name } ... on EndUser { externalId } }';
  const EVENT = `objectId object ${OBJECT} causeId cause ${OBJECT} integrationId integration { id } endUserId endUser { id } snapshot { connectorId connector { id } }`;

  it('are those of the ids', async () => {
    const nodes = await eventsOf(caller, EVENT);
    for (const { objectId, object, causeId, cause, integrationId, integration, endUserId, endUser, snapshot } of nodes) {
      expect(object.id).toBe(objectId);
      expect(cause?.id ?? null).toBe(causeId);
      expect(integration?.id ?? null).toBe(integrationId);
      expect(endUser?.id ?? null).toBe(endUserId);
      expect(snapshot.connector?.id ?? null).toBe(snapshot.connectorId);
    }
    for (const name of ['cause', 'endUser', 'integration']) expect(nodes.some((node) => node[name])).toBe(true);
    expect(nodes.some(({ snapshot }) => snapshot.connector)).toBe(true);
    expect(new Set(nodes.map(({ object }) => object.__typename))).toContain('BasicAuthCredential');
    const { auditLog } = await test.query(caller, `{ auditLog(first: 100) { nodes { objectId object ${OBJECT} } } }`);
    for (const { objectId, object } of auditLog.nodes) expect(object.id).toBe(objectId);
  });

  it('are read with one command for each noun, however long the page is', async () => {
    const lists = [
      ['events', EVENT, 5],
      ['auditLog', `object ${OBJECT}`, 5],
    ] as const;
    for (const [list, selection, nouns] of lists) {
      for (const first of [5, 60, 100]) {
        const ask = (fields: string) => test.query(caller, `{ ${list}(first: ${first}) { nodes { ${fields} } } }`);
        const plain = await test.countCommands(() => ask('id'));
        const commands = await test.countCommands(() => ask(selection));
        expect(commands.length - plain.length, commands.join(' ')).toBeLessThanOrEqual(nouns);
      }
    }
  });

  it('cost what is selected of them, for each item of the page, also of a live query', () => {
    const costOf = (text: string) => {
      const document = parse(text);
      return operationCost(schema, document, document.definitions[0] as never, {});
    };
    for (const edge of ['object { id }', 'cause { id }', 'integration { id }', 'endUser { id }']) {
      expect(costOf(`{ events(first: 100) { nodes { id ${edge} } } }`) - costOf('{ events(first: 100) { nodes { id } } }')).toBe(100);
      expect(costOf(`subscription { events { id ${edge} } }`) - costOf('subscription { events { id } }')).toBe(1);
    }
    const many = '{ events(first: 100) { nodes { object { ... on Integration { connections(first: 100) { nodes { id } } } } } } }';
    expect(costOf(many)).toBeGreaterThan(100 * 100);
  });
});

describe('without its scope', () => {
  it('an object is null, and says so, and everything else is answered; nothing is read for it', async () => {
    const cases: readonly [scope: string, list: string, field: string, isIt: (node: Json) => boolean][] = [
      ['endUsers.get', 'auditLog', 'object', ({ action }) => action === 'createEndUser'],
      ['connections.get', 'events', 'cause', ({ causeId }) => causeId !== null],
      ['integrations.get', 'events', 'integration', () => true],
      ['endUsers.get', 'events', 'endUser', () => true],
    ];
    for (const [scope, list, field, isIt] of cases) {
      const other = list === 'events' ? 'causeId' : 'action';
      const ask = (fields: string) => test.answer(without(scope), `{ ${list}(first: 10) { nodes { ${other} ${fields} } } }`);
      const plain = await test.countCommands(() => ask(''));
      let answer: Json = {};
      const commands = await test.countCommands(async () => {
        answer = await ask(`${field} { __typename }`);
      });
      const { nodes } = answer.data[list];
      const refused = nodes.filter(isIt);
      expect(refused.length, field).toBeGreaterThan(0);
      expect(refused.map((node: Json) => node[field])).toEqual(refused.map(() => null));
      expect(answer.errors).toHaveLength(refused.length);
      for (const { extensions, path } of answer.errors) {
        expect(extensions).toMatchObject({ code: 'FORBIDDEN', scope });
        expect(path).toEqual([list, 'nodes', expect.any(Number), field]);
      }
      // Of the objects of other nouns, those that may be seen were read.
      const others = field === 'object' ? 4 : 0;
      expect(commands.length - plain.length).toBeLessThanOrEqual(others);
    }
  });

  it('a mutation is refused as a whole, before it does anything', async () => {
    const text = `mutation ($id: ID!) { revealSecret(input: { credential: $id, field: "password", reason: "the test looks" }) {
      ... on RevealSecretSuccess { secret { field credential { __typename } } } } }`;
    const { errors } = await test.answer(without('credentials.get'), text, { id: ids.credential });
    expect(errors).toMatchObject([{ extensions: { code: 'FORBIDDEN', scope: 'credentials.get' } }]);
    const { auditLog } = await test.query(caller, '{ auditLog(action: revealSecret, outcome: SUCCESS) { nodes { id } } }');
    expect(auditLog.nodes).toEqual([]);
  });
});

it('what was deleted is null, in events that tell of it and of others', async () => {
  const { id } = await test.create(caller, 'EndUser', { integration: INTEGRATION, externalId: 'leaves' });
  const made = await test.create(caller, 'Credential', {
    integration: INTEGRATION,
    endUser: { id },
    name: 'of who leaves',
    data: { string: { value: 'secret' } },
  });
  await test.query(caller, 'mutation ($id: ID!) { deleteEndUser(input: { endUser: { id: $id }, force: true }) { __typename } }', { id });
  const nodes = (
    await eventsOf(caller, 'type objectId object { id } causeId cause { id } endUserId endUser { id } integration { id }')
  ).filter(({ endUserId }) => endUserId === id);
  expect(nodes.map(({ type }) => type).sort()).toEqual(['CREATED', 'CREATED', 'DELETED', 'DELETED']);
  for (const node of nodes) expect(node).toMatchObject({ object: null, cause: null, endUser: null, integration: { id: ids.integration } });
  expect(nodes.some(({ causeId, objectId }) => causeId === id && objectId === made.id)).toBe(true);
  const { auditLog } = await test.query(caller, 'query ($id: ID!) { auditLog(objectId: $id) { nodes { objectId object { id } } } }', {
    id,
  });
  expect(auditLog.nodes).toEqual(Array(2).fill({ objectId: id, object: null }));
});

it('whoever is confined gets its own objects, and nothing of an event that somebody else has made name others', async () => {
  const viewer = { ...caller, token: await test.makeEndUserToken(caller, { id: ids.endUser }) };
  const own = [ids.endUser, ids.connection, ids.credential];
  const EVENT = 'objectId object { id } causeId cause { id } endUser { id } integration { id } snapshot { connectorId connector { id } }';
  const before = await eventsOf(viewer, EVENT);
  expect(before.map(({ objectId }) => objectId).sort()).toEqual(own.sort());
  for (const { objectId, causeId, snapshot, ...given } of before) {
    expect(given).toMatchObject({ object: { id: objectId }, endUser: { id: ids.endUser }, integration: { id: ids.integration } });
    expect([given.cause?.id ?? null, snapshot.connector?.id ?? null]).toEqual([causeId, snapshot.connectorId]);
  }
  expect(before.some(({ cause }) => cause)).toBe(true);
  const sort = '(first: 1, sort: { field: CREATED_AT, direction: ASC })';
  const strange = await test.query(caller, `{ connections${sort} { nodes { id } } credentials${sort} { nodes { ... on Node { id } } } }`);
  const [objectId, causeId] = [strange.connections.nodes[0].id, strange.credentials.nodes[0].id];
  const changed = { objectId: parseId(objectId)!.id, causeNoun: 'credential', causeId: parseId(causeId)!.id };
  const about = { organizationId: caller.organization, objectId: parseId(ids.connection!)!.id };
  await test.database.collection<Json>('events').updateOne(about, { $set: changed });
  expect((await eventsOf(viewer, EVENT)).map((node) => node.objectId).sort()).toEqual(own.filter((id) => id !== ids.connection).sort());
  // The organization sees the event, that it was altered, and both objects.
  const seen = await eventsOf(caller, 'integrity object { id } cause { id }');
  expect(seen.filter(({ integrity }) => integrity === 'ALTERED')).toEqual([
    { integrity: 'ALTERED', object: { id: objectId }, cause: { id: causeId } },
  ]);
});

it('a stored id that is none, or of no noun, is null and hides nothing', async () => {
  const own = { organization: test.newOrganization() };
  for (let index = 0; index < 3; index++) await test.create(own, 'Integration', { name: `i${index}` });
  await eventsOf(own, 'id');
  const odd = [{ objectId: 'no id' }, { objectNoun: 'constructor' }, { objectId: { x: 1 } }];
  const entries = test.database.collection<Json>('auditEntries');
  const stored = await entries.find({ organizationId: own.organization }).toArray();
  for (const [index, { _id }] of stored.entries()) await entries.updateOne({ _id }, { $set: odd[index] });
  const { data, errors } = await test.answer(own, '{ auditLog { nodes { action object { id } } } }');
  expect(errors).toBeUndefined();
  expect(data.auditLog.nodes).toEqual(Array(3).fill({ action: 'createIntegration', object: null }));
});

describe('results of mutations', () => {
  const USE = `mutation ($id: ID!) { result: authorizeRequest(input: { connection: { id: $id }, method: "GET", url: "https://${HOST}/" }) {
    ... on AuthorizeRequestSuccess { request { connectionId connection { id name } } }
    ... on CredentialNotUsableError { credentialId credential { ... on CredentialBase { id name } } } } }`;

  it('have the credential that cannot be used, and then the connection', async () => {
    const refused = await test.query(caller, USE, { id: ids.connection });
    expect(refused.result).toEqual({ credentialId: ids.credential, credential: { id: ids.credential, name: 'login 19' } });
    const allow = `mutation ($id: ID!) { updateCredential(input: { credential: $id, allowedDomains: ["${HOST}"], allowedPurposes: [ACTION] }) { __typename } }`;
    await test.query(caller, allow, { id: ids.credential });
    const { result } = await test.query(caller, USE, { id: ids.connection });
    expect(result).toEqual({ request: { connectionId: ids.connection, connection: { id: ids.connection, name: 'connection 19' } } });
  });

  it('have the credential of a revealed secret', async () => {
    const text = `mutation ($id: ID!) { result: revealSecret(input: { credential: $id, field: "password", reason: "the test looks" }) {
      ... on RevealSecretSuccess { secret { credentialId credential { ... on CredentialBase { id name } } } } } }`;
    const { result } = await test.query(caller, text, { id: ids.credential });
    expect(result).toEqual({ secret: { credentialId: ids.credential, credential: { id: ids.credential, name: 'login 19' } } });
  });
});
