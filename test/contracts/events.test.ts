import { beforeAll, describe, expect, it } from 'vitest';
import type { Caller, Json } from '../harness.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn, needsConsent } from './mutations.ts';
import { mutationFields, operationOf, resultSelection } from './walk.ts';

// Whatever changes an object writes its events, in the same transaction. This is the table of what each mutation and each job writes.

const test = useTestGateway();
const mutations = mutationFields.filter(({ name }) => !needsConsent.includes(name)).map((field) => [field.name, field] as const);
/** For what succeeds, again and again. */
let scratch: BoundWorld;
beforeAll(async () => {
  scratch = await seedBoundWorld(test);
});

/** The kinds of events that each mutation writes with the input of `mutations.ts`. A mutation that is added needs a line here. */
const written: Readonly<Record<string, readonly string[]>> = {
  createIntegration: ['CREATED INTEGRATION'],
  updateIntegration: ['UPDATED INTEGRATION'],
  deleteIntegration: [
    'DELETED CONNECTION CASCADE',
    'DELETED CONNECTOR CASCADE',
    'DELETED CREDENTIAL CASCADE',
    'DELETED END_USER CASCADE',
    'DELETED INTEGRATION REQUESTED',
    'DELETED WEBHOOK CASCADE',
  ],
  createConnector: ['CREATED CONNECTOR'],
  updateConnector: ['UPDATED CONNECTOR'],
  discoverConnector: ['UPDATED CONNECTOR'],
  deleteConnector: ['DELETED CONNECTION CASCADE', 'DELETED CONNECTOR REQUESTED'],
  createEndUser: ['CREATED END_USER'],
  updateEndUser: ['UPDATED END_USER'],
  setEmailVerified: ['UPDATED END_USER'],
  deleteEndUser: ['DELETED CONNECTION CASCADE', 'DELETED CREDENTIAL CASCADE', 'DELETED END_USER REQUESTED'],
  createConnection: ['CREATED CONNECTION', 'CREATED CREDENTIAL'],
  importConnections: ['CREATED CONNECTION', 'CREATED CREDENTIAL'],
  updateConnection: ['CREATED CREDENTIAL', 'UPDATED CONNECTION'],
  addConnectionCredential: ['UPDATED CONNECTION'],
  removeConnectionCredential: ['UPDATED CONNECTION'],
  // The service of the world does not exist.
  checkConnection: ['CHECK_FAILED CONNECTION'],
  deleteConnection: ['DELETED CONNECTION REQUESTED', 'DELETED CREDENTIAL CASCADE'],
  createCredential: ['CREATED CREDENTIAL'],
  updateCredential: ['SECRET_REPLACED CREDENTIAL', 'UPDATED CREDENTIAL'],
  refreshCredential: ['STATE_CHANGED CREDENTIAL', 'TOKENS_REFRESHED CREDENTIAL'],
  revealSecret: ['SECRET_REVEALED CREDENTIAL'],
  deleteCredential: ['DELETED CREDENTIAL REQUESTED', 'UPDATED CONNECTION'],
  createAPIKey: ['CREATED API_KEY'],
  rotateAPIKey: ['SECRET_REPLACED API_KEY', 'UPDATED API_KEY'],
  revokeAPIKey: ['DELETED API_KEY REQUESTED'],
  createWebhook: ['CREATED WEBHOOK'],
  updateWebhook: ['UPDATED WEBHOOK'],
  rotateWebhookSecret: ['SECRET_REPLACED WEBHOOK', 'UPDATED WEBHOOK'],
  deleteWebhook: ['DELETED WEBHOOK REQUESTED'],
};

/** What writes no event with these inputs. */
const silent: Readonly<Record<string, string>> = {
  authorizeRequest: 'the first use is an event, which a job writes',
  checkCredential: 'nobody can be asked about a user name and a password, so nothing is learned',
  createEndUserToken: 'tokens are not stored',
  createSSOLink: 'links are not objects',
  redeliver: 'events tell what happens to objects, not to events',
  resumeWebhook: 'it is not paused, so nothing changes',
  testWebhook: 'the webhook is as before',
  moveConnectionCredential: 'it is there already',
  revokeEndUserTokens: 'tokens are not stored',
  revokeTokens: 'tokens are not stored, and the subject has no API keys',
  startAuthorization: 'it is no object before it is completed',
};

/** What the gateway learns or obtains by itself while it carries out a mutation. */
const byItself: ReadonlySet<string> = new Set(['checkConnection', 'refreshCredential']);

/** Reads all events after a cursor. */
async function eventsOf(caller: Caller, after: string | null): Promise<{ readonly events: Json[]; readonly end: string }> {
  const events: Json[] = [];
  for (let cursor = after; ; ) {
    const { page } = await test.query(
      caller,
      'query ($after: String) { page: events(first: 100, after: $after) { nodes { type objectType objectId reason causeId action createdBy { kind subject } } readUpTo pageInfo { hasNextPage } } }',
      { after: cursor },
    );
    events.push(...page.nodes);
    cursor = page.readUpTo;
    if (!page.pageInfo.hasNextPage) return { events, end: page.readUpTo };
  }
}

const told = ({ type, objectType, reason }: Json) => [type, objectType, reason].filter(Boolean).join(' ');

/** What the database holds of events, wherever they are. */
async function stored(organizationId: string): Promise<string> {
  const found = await Promise.all(['events', 'outbox'].map((name) => test.database.collection(name).find({ organizationId }).toArray()));
  const entries = await test.database.collection('auditEntries').find({ organizationId }).project({ events: 1 }).toArray();
  return JSON.stringify([found, entries]);
}

it('knows all mutations', () => {
  expect([...Object.keys(written), ...Object.keys(silent)].sort()).toEqual(mutations.map(([name]) => name).sort());
});

describe.each(mutations)('%s', (name, field) => {
  it('writes its events, which say who did it and why, and contain nothing that somebody has written', async () => {
    const own = /^(delete|revoke|remove)/.test(name) ? await seedBoundWorld(test) : scratch;
    const { end } = await eventsOf(own.caller, null);
    const args = argumentsIn(own, name);
    const { query, variables } = operationOf(
      field,
      name === 'deleteConnection' ? { input: { ...args.input, deleteCredentials: 'UNUSED' } } : args,
      resultSelection(field),
    );
    const { result } = await test.query({ ...own.caller, claims: { sub: 'who did it' } }, query, variables);
    expect(result.__typename).toMatch(/Success$/);
    const { events } = await eventsOf(own.caller, end);
    expect([...new Set(events.map(told))].sort()).toEqual(written[name] ?? []);
    for (const { createdBy, action, reason, causeId } of events) {
      const doer = byItself.has(name) ? { kind: 'GATEWAY', subject: '(credential-gateway)' } : { kind: 'TOKEN', subject: 'who did it' };
      expect(createdBy).toEqual(doer);
      expect(action).toBe(byItself.has(name) ? null : name);
      if (reason === 'CASCADE')
        expect(causeId).toBe(Object.entries(own.ids).find(([noun]) => name.toLowerCase() === `delete${noun.toLowerCase()}`)![1]);
    }
    const text = await stored(own.caller.organization);
    // The names of the world and of what the inputs make, user names, secrets, hosts and texts.
    for (const given of ['crm-', 'made-', 'zendesk', 'Ada', 'pa55word', 'example.com', 'token-', 'eu"', 'the test looks']) {
      expect(text.includes(given), given).toBe(false);
    }
  });
});

/** What the gateway does by itself, each minute: what it is made to do here, and the events that it writes. */
const jobs: Readonly<Record<string, { readonly run: (world: BoundWorld) => Promise<unknown>; readonly events: readonly string[] }>> = {
  'sweep, of a credential that has expired': {
    async run({ caller, ids }) {
      const expiresAt = new Date(Date.now() + 3_600_000);
      await change(caller, ids.credential, { expiresAt });
      test.time = () => new Date(expiresAt.getTime() + 1);
      await test.gateway.sweep();
    },
    events: ['DELETED CREDENTIAL EXPIRED', 'UPDATED CONNECTION', 'UPDATED CREDENTIAL'],
  },
  'noticeExpiries, and then updateHealth': {
    async run({ caller, ids }) {
      const expiresAt = new Date(Date.now() + 8 * 24 * 3_600_000);
      await change(caller, ids.credential, { expiresAt, enabled: false });
      await test.gateway.events.noticeExpiries();
      test.time = () => new Date(expiresAt.getTime() - 7 * 24 * 3_600_000 + 1_000);
      await test.gateway.events.noticeExpiries();
      await test.gateway.updateHealth();
    },
    events: ['ABOUT_TO_EXPIRE CREDENTIAL', 'STATE_CHANGED CONNECTION', 'STATE_CHANGED CREDENTIAL', 'UPDATED CREDENTIAL'],
  },
  'audit.seal, which writes when something was used': {
    async run(world) {
      for (const _ of [1, 2]) {
        const field = mutationFields.find(({ name }) => name === 'authorizeRequest')!;
        const { query, variables } = operationOf(field, argumentsIn(world, field.name), resultSelection(field));
        await test.query(world.caller, query, variables);
        await test.gateway.audit.seal();
      }
    },
    events: ['FIRST_USED CONNECTION', 'FIRST_USED CREDENTIAL'],
  },
};

async function change(caller: Caller, credential: string, changes: object): Promise<void> {
  const query =
    'mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename ... on MutationError { message } } }';
  const { result } = await test.query(caller, query, { input: { credential, ...changes } });
  expect(result).toMatchObject({ __typename: 'UpdateCredentialSuccess' });
}

it.each(Object.entries(jobs))('%s', async (_, { run, events: expected }) => {
  const world = await seedBoundWorld(test);
  // The states of what is new are determined.
  await test.gateway.updateHealth();
  const { end } = await eventsOf(world.caller, null);
  try {
    await run(world);
  } finally {
    test.time = () => new Date();
  }
  const { events } = await eventsOf(world.caller, end);
  expect(events.map(told).sort()).toEqual(expected);
});
