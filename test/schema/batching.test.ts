import { beforeAll, expect, it } from 'vitest';
import { useTestGateway } from '../harness.ts';

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

beforeAll(async () => {
  caller.organization = test.newOrganization();
  const integration = { name: 'crm' };
  await test.create(caller, 'Integration', integration);
  for (const name of ['one', 'two']) await test.create(caller, 'Connector', { integration, name, baseUrl: 'https://api.example.com' });
  for (let index = 0; index < 60; index++) {
    const externalId = `customer-${index % 30}`;
    if (index < 30) await test.create(caller, 'EndUser', { integration, externalId });
    const credential = (name: string) => ({ credential: { create: { name: `${name} ${index}`, data: { string: { value: 'secret' } } } } });
    await test.create(caller, 'Connection', {
      integration,
      connector: { inIntegration: { integration, name: index % 2 === 0 ? 'one' : 'two' } },
      endUser: { inIntegration: { integration, externalId } },
      name: `connection ${index}`,
      actionCredentials: [credential('action')],
      triggerCredentials: [credential('trigger')],
    });
  }
}, 120_000);

// A page that sends a command for each of its rows is slow where nobody measures: at a customer with many rows.
it.each([10, 50])('reads a page of %i connections with all that hangs on them in at most 6 commands', async (first) => {
  const commands = await test.countCommands(async () => {
    const { connections } = await test.query(caller, page, { first });
    expect(connections.nodes).toHaveLength(first);
    for (const { actionCredentials, connector, endUser, name } of connections.nodes) {
      expect(connector.name).toMatch(/^(one|two)$/);
      expect(endUser).toEqual({ displayName: '' });
      expect(actionCredentials[0].credential.usages.nodes).toEqual([{ name }]);
    }
  });
  expect(commands.length, commands.join(' ')).toBeLessThanOrEqual(6);
});

it('counts, and reads usages and related records, only when asked', async () => {
  const plain = await test.countCommands(() => test.query(caller, '{ connections { nodes { name } } }'));
  expect(plain).toEqual(['aggregate']);
  const counted = await test.countCommands(() => test.query(caller, '{ connections { totalCount nodes { name } } }'));
  expect(counted).toEqual(['aggregate', 'aggregate']);
});

it('reads a page of each of many end users in one command, each bounded by the database', async () => {
  const commands = await test.countCommands(async () => {
    const { endUsers } = await test.query(
      caller,
      '{ endUsers(first: 30) { nodes { externalId connections(first: 1) { totalCount nodes { name } pageInfo { hasNextPage } } } } }',
    );
    for (const { connections } of endUsers.nodes)
      expect(connections).toMatchObject({ totalCount: 2, nodes: [{}], pageInfo: { hasNextPage: true } });
  });
  expect(commands).toEqual(['aggregate', 'aggregate', 'aggregate']);
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
