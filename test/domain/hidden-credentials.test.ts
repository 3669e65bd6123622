import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtInKinds } from '../../src/credential-kinds/index.ts';
import { contents } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';
import { missingId } from '../world.ts';

// What a viewer cannot see, it cannot remove, and cannot lead elsewhere: neither by leaving it out of a list nor by naming it.
const test = useTestGateway();
const integration = { name: 'crm' };
const tokenUrl = 'https://auth.example.com/token';
const lists = ['actionCredentials', 'triggerCredentials'] as const;
const nameOf = { actionCredentials: 'ACTION', triggerCredentials: 'TRIGGER' } as const;
let caller: Caller;
let endUser: { readonly id: string };
let own: Caller;
let shared: string;
let client: string;
let otherShared: string;
let ownIds: string[];
let made = 0;

async function make(who: Caller, more: object = {}): Promise<string> {
  return (
    await test.create(who, 'Credential', {
      integration,
      name: `credential ${++made}`,
      data: { basicAuth: { username: 'ada', password: 'pw' } },
      ...more,
    })
  ).id;
}

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
  own = { ...caller, token: await test.makeEndUserToken(caller, endUser) };
  [shared, otherShared, client] = [await make(caller), await make(caller), await make(caller)];
  ownIds = [await make(own), await make(own), await make(own)];
});

const bind = (id: string, authScheme?: object | null) => ({ credential: { id }, ...(authScheme !== undefined && { authScheme }) });
const oauth2 = (schemeId: string, clientCredentialId: string, more: object = {}) => ({
  schemeId,
  schemeType: 'OAUTH2',
  oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl, clientCredentialId, ...more },
});
const plain = (schemeId: string) => ({ schemeId, schemeType: 'BASIC_AUTH' });

const SCHEME = 'authScheme { schemeId schemeType ... on OAuth2AuthScheme { clientCredentialId tokenUrl } }';
const fields = `id version ${lists.map((list) => `${list} { credentialId state credential { ... on CredentialBase { id } } ${SCHEME} }`).join(' ')}`;

/** Makes a connection of the end user, as the organization. */
async function connect(bindings: object): Promise<{ id: string }> {
  return { id: (await test.create(caller, 'Connection', { integration, endUser, name: `connection ${++made}`, ...bindings })).id };
}
async function read(who: Caller, { id }: { id: string }): Promise<Json> {
  return (await test.query(who, `query ($by: ConnectionRef!) { connection(by: $by) { ${fields} } }`, { by: { id } })).connection;
}
const update = (who: Caller, connection: object, input: object) => run(test, who, 'updateConnection', { connection, ...input }, fields);
const idsIn = (entries: Json[]): string[] => entries.map(({ credentialId }) => credentialId);

describe.each(lists)('%s', (list) => {
  const other = lists.find((each) => each !== list)!;

  it('says of each entry whether the viewer can see its credential', async () => {
    const expiring = await make(own, { expiresAt: new Date(Date.now() + 60_000).toISOString() });
    const connection = await connect({ [list]: [bind(ownIds[0]!), bind(shared), bind(expiring)] });
    test.time = () => new Date(Date.now() + 120_000);
    try {
      const states = async (who: Caller) =>
        (await read(who, connection))[list].map(({ state, credential }: Json) => [state, credential?.id ?? null]);
      expect(await states(own)).toEqual([
        ['AVAILABLE', ownIds[0]],
        ['HIDDEN', null],
        ['EXPIRED', null],
      ]);
      expect(await states(caller)).toEqual([
        ['AVAILABLE', ownIds[0]],
        ['AVAILABLE', shared],
        ['EXPIRED', null],
      ]);
      // A list can be sent back as it was read, also with what has expired. Left out, that goes.
      const same = { [list]: [bind(ownIds[0]!), bind(shared), bind(expiring)] };
      expect((await update(own, connection, same)).connection).toMatchObject({ version: 1 });
      const without = await update(own, connection, { [list]: [bind(ownIds[0]!)] });
      expect(idsIn(without.connection[list])).toEqual([ownIds[0], shared]);
      // A hidden credential that has expired is told as hidden.
      await run(test, caller, 'updateCredential', { credential: shared, expiresAt: new Date(Date.now() + 180_000).toISOString() });
      test.time = () => new Date(Date.now() + 240_000);
      expect(await states(own)).toEqual([
        ['AVAILABLE', ownIds[0]],
        ['HIDDEN', null],
      ]);
    } finally {
      test.time = () => new Date();
      const revived = `{ credential(id: "${shared}") { ... on CredentialBase { id } } }`;
      if ((await test.query(caller, revived)).credential)
        await run(test, caller, 'updateCredential', { credential: shared, expiresAt: null });
    }
  });

  it('keeps a hidden entry at its place when it is left out, with its scheme', async () => {
    const [a, b, c] = ownIds as [string, string, string];
    const cases: [string[], string[], string[]][] = [
      [[a, shared], [], [shared]],
      [
        [a, shared],
        [b, c],
        [b, shared, c],
      ],
      [
        [shared, a],
        [b, a],
        [shared, b, a],
      ],
      [[a, shared, b, otherShared, c], [c], [c, shared, otherShared]],
      [[shared, otherShared], [], [shared, otherShared]],
    ];
    for (const [before, sent, after] of cases) {
      const connection = await connect({ [list]: before.map((id, index) => bind(id, plain(`s${index}`))) });
      for (const given of sent.length === 0 ? [[], null] : [sent.map((id) => bind(id))]) {
        const { connection: written } = await update(own, connection, { [list]: given });
        expect(idsIn(written[list])).toEqual(after);
        for (const { credentialId, authScheme } of written[list]) {
          if ([shared, otherShared].includes(credentialId)) expect(authScheme).toEqual(plain(`s${before.indexOf(credentialId)}`));
        }
        // Whoever can see all of them has the same list.
        expect(idsIn((await read(caller, connection))[list])).toEqual(after);
      }
      // Who sees it can remove it.
      expect((await update(caller, connection, { [list]: [] })).connection[list]).toEqual([]);
    }
  });

  it('lets a hidden entry be named where it is, to order the list, and not be changed or bound again', async () => {
    const [a, b] = ownIds as [string, string, string];
    const scheme = oauth2('s', client);
    const connection = await connect({
      [list]: [bind(a), bind(shared, plain('p')), bind(b, scheme)],
      [other]: [bind(otherShared)],
    });
    const refused = async (entries: object[], path: string[], code = 'VALIDATION_FAILED') => {
      const before = await contents(test, caller.organization);
      const result = await update(own, connection, { [list]: entries });
      expect([entries, result.code, result.path ?? result.issues[0].path]).toEqual([entries, code, ['input', list, ...path]]);
      expect(await contents(test, caller.organization)).toEqual(before);
    };
    // Where a client is sent is decided by the scheme.
    const evil = { tokenUrl: 'https://evil.example/token' };
    await refused([bind(b, oauth2('s', client, evil))], ['0', 'authScheme']);
    await refused([bind(b, null)], ['0', 'authScheme']);
    await refused([bind(a, oauth2('t', client, evil))], ['0', 'authScheme', 'oauth2']);
    await refused(
      [{ credential: { create: { name: 'x', data: { none: {} } } }, authScheme: oauth2('t', client, evil) }],
      ['0', 'authScheme', 'oauth2'],
    );
    await refused([bind(shared, null)], ['0', 'authScheme']);
    await refused([bind(shared, plain('q'))], ['0', 'authScheme']);
    await refused([bind(shared), bind(shared)], ['1', 'credential', 'id']);
    // A trigger credential must not become one that is sent, nor the other way round.
    await refused([bind(otherShared)], ['0', 'credential', 'id']);
    await refused([bind(client)], ['0', 'credential', 'id']);
    // What is not bound is not there: of the integration, of another end user, of nobody.
    await refused([bind(missingId('credential'))], ['0', 'credential', 'id'], 'NOT_FOUND');
    await refused([bind(await make(caller))], ['0', 'credential', 'id'], 'NOT_FOUND');
    await refused([bind(a, oauth2('t', await make(caller)))], ['0', 'authScheme', 'oauth2'], 'NOT_FOUND');
    // A new scheme cannot take the id of one that is kept.
    await refused([bind(a, plain('p'))], ['0', 'authScheme', 'schemeId']);

    for (const entries of [
      [bind(shared), bind(b), bind(a)],
      [bind(b, scheme), bind(shared, plain('p')), bind(a)],
    ]) {
      const { connection: written } = await update(own, connection, { [list]: entries });
      expect(idsIn(written[list])).toEqual(entries.map(({ credential }) => credential.id));
      const schemes = Object.fromEntries(written[list].map(({ credentialId, authScheme }: Json) => [credentialId, authScheme]));
      expect(schemes).toEqual({
        [a]: null,
        [shared]: plain('p'),
        [b]: { schemeId: 's', schemeType: 'OAUTH2', clientCredentialId: client, tokenUrl },
      });
    }
    expect(idsIn((await read(own, connection))[other])).toEqual([otherShared]);
  });

  it('is changed by single entries', async () => {
    const [a, b, c] = ownIds as [string, string, string];
    const connection = await connect({ [list]: [bind(a), bind(shared), bind(b, oauth2('s', client))] });
    const change = (name: string, input: object) => run(test, own, name, { connection, list: nameOf[list], ...input }, fields);
    const now = async () => idsIn((await read(own, connection))[list]);
    const added = await change('addConnectionCredential', { ...bind(c, plain('c')), position: 1, expectedVersion: 1 });
    expect([idsIn(added.connection[list]), added.connection.version]).toEqual([[a, c, shared, b], 2]);
    expect(idsIn((await change('moveConnectionCredential', { credential: shared, to: 3 })).connection[list])).toEqual([a, c, b, shared]);
    expect(idsIn((await change('moveConnectionCredential', { credential: a, to: 2 })).connection[list])).toEqual([c, b, a, shared]);
    expect(idsIn((await change('addConnectionCredential', bind(c))).connection[list])).toEqual([c, b, a, shared, c]);
    const refused: [string, object, string, string[]][] = [
      ['removeConnectionCredential', { credential: shared }, 'VALIDATION_FAILED', ['credential']],
      ['removeConnectionCredential', { credential: b }, 'VALIDATION_FAILED', ['credential']],
      ['removeConnectionCredential', { credential: c }, 'VALIDATION_FAILED', ['position']],
      ['removeConnectionCredential', { credential: c, position: 1 }, 'VALIDATION_FAILED', ['position']],
      ['removeConnectionCredential', { credential: otherShared }, 'NOT_FOUND', ['credential']],
      ['moveConnectionCredential', { credential: a, to: 5 }, 'VALIDATION_FAILED', ['to']],
      ['moveConnectionCredential', { credential: a, to: -1 }, 'VALIDATION_FAILED', ['to']],
      ['moveConnectionCredential', { credential: otherShared, to: 0 }, 'NOT_FOUND', ['credential']],
      ['addConnectionCredential', { ...bind(a), position: 6 }, 'VALIDATION_FAILED', ['position']],
      ['addConnectionCredential', bind(shared), 'NOT_FOUND', ['credential', 'id']],
      ['addConnectionCredential', bind(a, oauth2('t', client)), 'NOT_FOUND', ['authScheme', 'oauth2']],
      ['addConnectionCredential', bind(a, plain('s')), 'VALIDATION_FAILED', ['authScheme', 'schemeId']],
    ];
    for (const [name, input, code, path] of refused) {
      const result = await change(name, input);
      expect([name, input, result.code, result.path ?? result.issues[0].path]).toEqual([name, input, code, ['input', ...path]]);
    }
    expect(await now()).toEqual([c, b, a, shared, c]);
    expect((await change('removeConnectionCredential', { credential: c, position: 4 })).connection.version).toBe(6);
    expect(idsIn((await change('removeConnectionCredential', { credential: a })).connection[list])).toEqual([c, b, shared]);
    const create = { credential: { create: { name: 'new', data: { none: {} } } } };
    expect((await change('addConnectionCredential', create)).connection[list]).toHaveLength(4);
    // The organization sees it.
    const removed = await run(test, caller, 'removeConnectionCredential', { connection, list: nameOf[list], credential: shared }, fields);
    expect(idsIn(removed.connection[list])).not.toContain(shared);
    const full = await connect({
      [list]: Array.from({ length: 12 }, () => bind(a)),
      [other]: Array.from({ length: 8 }, () => bind(shared)),
    });
    expect((await run(test, own, 'addConnectionCredential', { connection: full, list: nameOf[list], ...bind(a) })).issues[0].path).toEqual([
      'input',
      'credential',
    ]);
    expect((await update(own, full, { [list]: Array.from({ length: 20 }, () => bind(a)), [other]: [] })).code).toBe('VALIDATION_FAILED');
  });
});

it('the end user deletes what is its own, with the entries, and the connection', async () => {
  const mine = await make(own);
  const connection = await connect({ actionCredentials: [bind(mine, oauth2('s', client)), bind(shared)] });
  expect((await run(test, own, 'deleteCredential', { credential: mine, force: true })).deletedId).toBe(mine);
  expect(idsIn((await read(own, connection)).actionCredentials)).toEqual([shared]);
  expect((await run(test, own, 'deleteConnection', { connection })).deletedId).toBe(connection.id);
  expect((await test.query(caller, `{ credential(id: "${shared}") { ... on CredentialBase { id } } }`)).credential).not.toBeNull();
});

// A gateway of another version, or one that is configured otherwise, does not know every kind. For it, such a credential is hidden from everybody.
describe('a credential whose kind this gateway does not know', () => {
  let unknown: string;
  let connection: { id: string };
  let connector: { id: string };
  beforeAll(async () => {
    unknown = await make(caller, { data: { string: { value: 'v' } } });
    connection = await connect({ actionCredentials: [bind(ownIds[0]!), bind(unknown), bind(ownIds[1]!, oauth2('s', unknown))] });
    connector = await test.create(caller, 'Connector', {
      integration,
      name: 'c',
      baseUrl: 'https://api.example.com',
      authSchemes: [plain('p'), oauth2('s', unknown), plain('q')],
    });
    await test.close();
    test.credentialKinds = builtInKinds.filter(({ kind }) => kind !== 'string');
    await test.open();
  });
  afterAll(async () => {
    await test.close();
    test.credentialKinds = undefined;
    await test.open();
  });

  it('stays bound to a connection, whoever leaves it out', async () => {
    const { connection: written } = await update(caller, connection, { actionCredentials: [] });
    expect(written.actionCredentials.map(({ state, credentialId }: Json) => [state, credentialId])).toEqual([
      ['HIDDEN', unknown],
      ['AVAILABLE', ownIds[1]],
    ]);
    expect(
      (await update(caller, connection, { actionCredentials: [bind(ownIds[1]!), bind(unknown)] })).connection.actionCredentials,
    ).toHaveLength(2);
    const removing = { connection, list: 'ACTION', credential: unknown };
    expect((await run(test, caller, 'removeConnectionCredential', removing)).code).toBe('VALIDATION_FAILED');
  });

  it('stays in the schemes of a connector', async () => {
    const change = (authSchemes: unknown) =>
      run(
        test,
        caller,
        'updateConnector',
        { connector, authSchemes },
        'version authSchemes { schemeId ... on OAuth2AuthScheme { clientCredentialId } }',
      );
    const kept = { schemeId: 's', clientCredentialId: unknown };
    expect((await change([plain('p'), oauth2('s', unknown), plain('q')])).connector.version).toBe(1);
    expect((await change([plain('r')])).connector.authSchemes).toEqual([{ schemeId: 'r' }, kept]);
    expect((await change(null)).connector.authSchemes).toEqual([kept]);
    expect((await change([oauth2('s', unknown, { tokenUrl: 'https://evil.example/token' })])).issues[0].path).toEqual([
      'input',
      'authSchemes',
      '0',
    ]);
    expect((await change([oauth2('t', unknown)])).path).toEqual(['input', 'authSchemes', '0', 'oauth2']);
    const many = Array.from({ length: 20 }, (_, index) => plain(`p${index}`));
    expect((await change(many)).issues[0].path).toEqual(['input', 'authSchemes']);
  });
});

it('a scheme of a connector whose client has expired can be sent back as it was read, or be left out', async () => {
  const expiring = await make(caller, { expiresAt: new Date(Date.now() + 60_000).toISOString() });
  const connector = await test.create(caller, 'Connector', {
    integration,
    name: 'expiring',
    baseUrl: 'https://api.example.com',
    authSchemes: [oauth2('s', expiring)],
  });
  const change = (authSchemes: unknown) =>
    run(test, caller, 'updateConnector', { connector, description: 'x', authSchemes }, 'authSchemes { schemeId }');
  test.time = () => new Date(Date.now() + 120_000);
  try {
    expect((await change([plain('p'), oauth2('s', expiring)])).connector.authSchemes).toEqual([{ schemeId: 'p' }, { schemeId: 's' }]);
    expect((await change([oauth2('s', expiring, { tokenUrl: 'https://other.example/token' })])).code).toBe('NOT_FOUND');
    expect((await change([])).connector.authSchemes).toEqual([]);
  } finally {
    test.time = () => new Date();
  }
});
