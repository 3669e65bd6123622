import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Caller, Json } from '../harness.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn, needsConsent } from './mutations.ts';
import { issuer } from './service.ts';
import { mutationFields, operationOf, resultSelection } from './walk.ts';

// Whatever changes an object writes its events, in the same transaction. This is the table of what each mutation and each job writes.

const test = useTestGateway();
const mutations = mutationFields.filter(({ name }) => !needsConsent.includes(name)).map((field) => [field.name, field] as const);
/** What takes something away from its world, which others need. What shares a world comes in this order, and after all that takes nothing away. */
const worlds: Readonly<Record<string, string>> = {
  removeConnectionCredential: 'first',
  revokeAPIKey: 'first',
  deleteIntegration: 'first',
  deleteWebhook: 'second',
  deleteCredential: 'second',
  deleteConnector: 'second',
  deleteConnection: 'third',
  deleteEndUser: 'fourth',
};
const inOrder = [...mutations].sort(([a], [b]) => Object.keys(worlds).indexOf(a) - Object.keys(worlds).indexOf(b));
const seeded = new Map<string, Promise<BoundWorld>>();
function worldOf(name: string): Promise<BoundWorld> {
  const world = seeded.get(name) ?? seedBoundWorld(test);
  seeded.set(name, world);
  return world;
}

/** The kinds of events that each mutation writes with the input of `mutations.ts`. A mutation that is added needs a line here. */
const written: Readonly<Record<string, readonly string[]>> = {
  createIntegration: ['CREATED INTEGRATION'],
  updateIntegration: ['UPDATED INTEGRATION'],
  deleteIntegration: [
    'DELETED API_KEY CASCADE',
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
  upsertEndUser: ['CREATED END_USER'],
  updateEndUser: ['UPDATED END_USER'],
  setEmailVerified: ['UPDATED END_USER'],
  deleteEndUser: ['DELETED CONNECTION CASCADE', 'DELETED CREDENTIAL CASCADE', 'DELETED END_USER REQUESTED'],
  createConnection: ['CREATED CONNECTION', 'CREATED CREDENTIAL'],
  upsertConnection: ['CREATED CONNECTION', 'CREATED CREDENTIAL'],
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

describe.each(inOrder)('%s', (name, field) => {
  it('writes its events, which say who did it and why, and contain nothing that somebody has written', async () => {
    const own = await worldOf(worlds[name] ?? 'first');
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

/** What the gateway does by itself: what it is made to do here, one after the other in one world, and the events that it writes. */
const jobs: Readonly<
  Record<
    string,
    { readonly of: readonly string[]; readonly run: (world: BoundWorld) => Promise<unknown>; readonly events: readonly string[] }
  >
> = {
  'audit.seal, which writes when something was used': {
    of: ['what was counted could not be written', 'the audit log could not be sealed'],
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
  'a refresh that fails': {
    of: ['tokens could not be refreshed'],
    async run({ caller, more }) {
      await change(caller, more.tokens, { data: { oauth2Client: { clientSecret: 'again', tokenUrl: `${issuer}/refused` } } });
      const query =
        'mutation ($input: RefreshCredentialInput!) { result: refreshCredential(input: $input) { ... on MutationError { code } } }';
      const { result } = await test.query(caller, query, { input: { credential: more.tokens } });
      expect(result.code).toBe('SERVICE_FAILED');
    },
    events: ['REFRESH_FAILED CREDENTIAL', 'SECRET_REPLACED CREDENTIAL', 'UPDATED CREDENTIAL'],
  },
  'noticeExpiries, and then updateHealth': {
    of: [
      'events about credentials that are about to expire could not be written',
      'the states of credentials and connections could not be determined',
    ],
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
  'sweep, of a credential that has expired': {
    of: ['expired credentials could not be deleted'],
    async run({ caller, ids }) {
      const expiresAt = new Date(Date.now() + 3_600_000);
      await change(caller, ids.credential, { expiresAt });
      test.time = () => new Date(expiresAt.getTime() + 1);
      await test.gateway.sweep();
    },
    events: ['DELETED CREDENTIAL EXPIRED', 'UPDATED CONNECTION', 'UPDATED CREDENTIAL'],
  },
};

/** The other jobs, by what is logged when they fail. */
const otherJobs: Readonly<Record<string, string>> = {
  'a worn data key could not be replaced': 'keys are not objects',
  'idle rate limits could not be deleted': 'they are not objects',
  'what an organization stores could not be counted': 'nothing of it changes',
  'events could not be numbered, or old ones not deleted': 'events tell what happens to objects, not to events',
  'old deliveries of webhooks could not be deleted': 'deliveries are no objects that have events',
  'connections could not be checked': 'it does what checkConnection does',
  'records of an earlier version could not be prepared for filters': 'what is shown does not change',
  'the audit log could not be sent to its sink': 'nothing changes',
  'the revocations could not be read': 'nothing changes',
};

it('knows all jobs', () => {
  const source = readFileSync(new URL('../../src/gateway/jobs.ts', import.meta.url), 'utf8');
  const lists = [...source.matchAll(/(?:: readonly Job\[\] =|: Job =)([^;]*);/g)].map(([, list]) => list!).join('');
  const known = [...Object.values(jobs).flatMap(({ of }) => of), ...Object.keys(otherJobs)];
  expect([...new Set([...lists.matchAll(/'([^']+)'/g)].map(([, failure]) => failure))].sort()).toEqual(known.sort());
});

async function change(caller: Caller, credential: string, changes: object): Promise<void> {
  const query =
    'mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename ... on MutationError { message } } }';
  const { result } = await test.query(caller, query, { input: { credential, ...changes } });
  expect(result).toMatchObject({ __typename: 'UpdateCredentialSuccess' });
}

it.each(Object.entries(jobs))('%s', async (_, { run, events: expected }) => {
  const world = await worldOf('jobs');
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
