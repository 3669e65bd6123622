import { beforeAll, expect, it } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const caller = { organization: '' };

/** A page with all that hangs on its connections: the query that a front end's overview sends. */
const page = `query ($first: Int!) {
  connections(first: $first) {
    nodes {
      name
      connector { name }
      endUser { displayName }
      actionCredentials { credential { ... on CredentialBase { name usages(first: 5) { nodes { name } } } } }
      triggerCredentials { credential { ... on CredentialBase { name usages(first: 5) { nodes { name } } } } }
    }
  }
}`;

/** As many as a page can have, and more than the first batch that a driver asks for. */
const CONNECTIONS = 102;
const END_USERS = CONNECTIONS / 2;

/** Runs a function for the numbers below a count, several at once. */
async function each(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: 6 }, worker));
}

beforeAll(async () => {
  caller.organization = test.newOrganization();
  const integration = { name: 'crm' };
  await test.create(caller, 'Integration', integration);
  for (const name of ['one', 'two']) await test.create(caller, 'Connector', { integration, name, baseUrl: 'https://api.example.com' });
  await each(END_USERS, (index) => test.create(caller, 'EndUser', { integration, externalId: `customer-${index}` }));
  const credential = (name: string) => ({ credential: { create: { name, data: { string: { value: 'secret' } } } } });
  await each(CONNECTIONS, (index) =>
    test.create(caller, 'Connection', {
      integration,
      connector: { inIntegration: { integration, name: index % 2 === 0 ? 'one' : 'two' } },
      endUser: { inIntegration: { integration, externalId: `customer-${index % END_USERS}` } },
      name: `connection ${index}`,
      actionCredentials: [credential(`action ${index}`)],
      triggerCredentials: [credential(`trigger ${index}`)],
    }),
  );
}, 120_000);

// A page that sends a command for each of its rows, or for each hundred of what it reads, is slow where nobody measures: at a customer with many rows.
it.each([1, 50, 82, 100])('reads a page of %i connections with all that hangs on them in at most 5 commands', async (first) => {
  const commands = await test.countCommands(async () => {
    const { connections } = await test.query(caller, page, { first });
    expect(connections.nodes).toHaveLength(first);
    for (const { actionCredentials, connector, endUser, name } of connections.nodes) {
      expect(connector.name).toMatch(/^(one|two)$/);
      expect(endUser).toEqual({ displayName: '' });
      expect(actionCredentials[0].credential.usages.nodes).toEqual([{ name }]);
    }
  });
  expect(commands.length, commands.join(' ')).toBeLessThanOrEqual(5);
});

it('reads every page that the schema has, with every page within it, in a command for each', async () => {
  const { __schema } = await test.query(
    caller,
    '{ __schema { queryType { name } types { name kind interfaces { name } fields { name args { name type { kind } } type { name ofType { name } } } } } }',
  );
  const types = new Map<string, Json>(__schema.types.map((type: Json) => [type.name, type]));
  const pagesOf = (type: string): Json[] =>
    (types.get(type).fields ?? []).filter(({ type }: Json) => /Page$/.test(type.name ?? type.ofType.name));
  const roots = pagesOf(__schema.queryType.name);
  expect(roots.map(({ name }) => name)).toEqual(expect.arrayContaining(['connections', 'credentials', 'endUsers', 'integrations']));
  // The first reader gives positions to what has happened before.
  await test.query(caller, '{ events(first: 1) { nodes { id } } }');
  let nested = 0;
  for (const root of roots) {
    const node = (root.type.name ?? root.type.ofType.name).replace(/Page$/, '');
    const inner = types.has(node) && types.get(node).kind === 'OBJECT' ? pagesOf(node) : pagesOf('CredentialBase');
    const isCredential = node === 'Credential';
    const selected = inner.map(({ name }) => `${name}(first: 2) { nodes { __typename } }`).join(' ');
    nested += inner.length;
    for (const first of [1, 50, 82, 100]) {
      const nodes = isCredential ? `... on CredentialBase { id ${selected} }` : `__typename ${selected}`;
      const commands = await test.countCommands(() => test.query(caller, `{ ${root.name}(first: ${first}) { nodes { ${nodes} } } }`));
      // Whether lists are long is found out once. Whether all events have positions, and how far they reach, is found out for each page.
      const most = 1 + 2 * inner.length + (root.name === 'events' ? 2 : 0);
      expect(commands.length, `${root.name}(first: ${first}): ${commands.join(' ')}`).toBeLessThanOrEqual(most);
      expect(commands).not.toContain('getMore');
    }
  }
  expect(nested).toBeGreaterThan(2);
});

it('counts, and reads usages and related records, only when asked', async () => {
  const plain = await test.countCommands(() => test.query(caller, '{ connections { nodes { name } } }'));
  expect(plain).toEqual(['aggregate']);
  const counted = await test.countCommands(() => test.query(caller, '{ connections { totalCount nodes { name } } }'));
  expect(counted).toEqual(['aggregate', 'aggregate']);
});

it('reads a page of each of many end users in one command', async () => {
  const commands = await test.countCommands(async () => {
    const { endUsers } = await test.query(
      caller,
      '{ endUsers(first: 51) { nodes { externalId connections(first: 1) { totalCount nodes { name } pageInfo { hasNextPage } } } } }',
    );
    for (const { connections } of endUsers.nodes)
      expect(connections).toMatchObject({ totalCount: 2, nodes: [{}], pageInfo: { hasNextPage: true } });
  });
  expect(commands).toEqual(['aggregate', 'find', 'aggregate']);
});

// The collection of ciphertext is emptied: whatever still answers in full has not read it.
it('needs ciphertext for a reveal, and for nothing else', async () => {
  const { credentials } = await test.query(caller, '{ credentials(first: 1) { nodes { ... on StringCredential { id } } } }');
  const [{ id }] = credentials.nodes;
  await test.database.collection('secrets').deleteMany({ organizationId: caller.organization });
  const { credential } = await test.query(
    caller,
    'query ($id: ID!) { credential(id: $id) { ... on StringCredential { value { isSet redacted sealedAt fingerprint } } } }',
    { id },
  );
  expect(credential.value).toEqual({ isSet: true, redacted: '*****', sealedAt: expect.any(String), fingerprint: expect.any(String) });
  const { revealSecret } = await test.query(
    caller,
    'mutation ($id: ID!) { revealSecret(input: { credential: $id, field: "value", reason: "the test looks" }) { ... on MutationError { code } } }',
    { id },
  );
  expect(revealSecret).toEqual({ code: 'UNREADABLE_SECRET' });
});
