import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtInKinds, type Choices, choice, defineCredentialKind, flag, instant, integer, secret, text, textList } from '../src/api.ts';
import { parseId } from '../src/schema/kit/global-id.ts';
import { type Json, TestGateway } from './harness.ts';
import { run } from './operations.ts';

// Stored credentials outlive the definition of their kind. When it changes so that what is stored does not fit any more, nothing fails: the credential is shown
// for what it is, is not used, and can be repaired or deleted.

const color = (...values: string[]): Choices => ({
  enumName: 'BadgeColor',
  description: 'The color of a badge.',
  values: Object.fromEntries(values.map((value) => [value, `It is ${value}.`])),
});
const about = { description: 'A field.' };
const word = { ...about, maxLength: 16, example: 'word', invalidExample: '' };

const before = {
  number: text(word),
  color: choice({ ...about, choices: color('RED', 'BLUE'), example: 'BLUE', invalidExample: 'GREEN' }),
  doors: textList({ ...about, maxItems: 5, maxLength: 16, optional: true, example: ['one'], invalidExample: [''] }),
  floor: integer({ ...about, min: 0, max: 99, optional: true, example: 1, invalidExample: 100 }),
  since: instant({ ...about, optional: true, example: '2026-01-01T00:00:00Z', invalidExample: 'x' }),
  pin: secret({ ...word, example: '1234' }),
} as const;
const later = { ...word, optional: true } as const;

/** Defines the kind with other fields: undefined removes one. */
function kindWith(changes: object) {
  const fields = Object.fromEntries(Object.entries({ ...before, ...changes }).filter(([, field]) => field !== undefined));
  return defineCredentialKind({
    kind: 'badge',
    typeName: 'BadgeCredential',
    description: 'A badge.',
    fields: fields as never,
    apply: { alone: { put: 'HEADER', name: 'x-badge', value: '{pin}' } },
  });
}

const PLAIN = 'was never secret';
const data = { number: PLAIN, color: 'RED', doors: ['north'], floor: 3, since: '2026-01-01T00:00:00Z', pin: '4711' };

const test = new TestGateway();
test.federation = {};
const caller = { organization: test.newOrganization() };
const integration = { name: 'doors' };
let id: string;
let connection: string;
const reopen = async (changes: object) => {
  await test.close();
  test.credentialKinds = [...builtInKinds, kindWith(changes)];
  await test.open();
};

beforeAll(async () => {
  test.credentialKinds = [...builtInKinds, kindWith({})];
  await test.start();
  await test.create(caller, 'Integration', integration);
  const common = { integration, name: 'badge', allowedDomains: ['api.example.com'], allowedPurposes: ['ACTION'] };
  ({ id } = await test.create(caller, 'Credential', { ...common, data: { badge: data } }));
  await test.create(caller, 'Credential', { integration, name: 'other', data: { string: { value: 'v' } } });
  const bound = { integration, name: 'bound', allowedDomain: 'api.example.com', actionCredentials: [{ credential: { id } }] };
  connection = (await test.create(caller, 'Connection', bound)).id;
});
afterAll(() => test.stop());

const GENERIC =
  '__typename ... on CredentialBase { id name fields { name value secret { isSet } } facts { name } } ... on OutdatedCredential { outdatedFields }';
const PLAN = 'requestPlan(purpose: ACTION) { steps { value } problems { code } }';

/** Every way to the credential, as a front end asks for it. */
async function seen(): Promise<Json[]> {
  const query = `query ($id: ID!, $connection: ID!) {
    credential(id: $id) { ${GENERIC} }
    node(id: $id) { ${GENERIC} }
    nodes(ids: [$id]) { ${GENERIC} }
    credentials(sort: { field: NAME, direction: ASC }) { nodes { ${GENERIC} ... on BadgeCredential { color } } }
    connection(by: { id: $connection }) { actionCredentials { credential { ${GENERIC} } } }
    _entities(representations: [{ __typename: "OutdatedCredential", id: $id }]) { ${GENERIC} }
    events(first: 100) { nodes { objectId object { ${GENERIC} } } }
  }`;
  const answer = await test.query(caller, query, { id, connection });
  expect(answer.credentials.nodes.map(({ name }: Json) => name)).toEqual(['badge', 'other']);
  const { credential, node, nodes, credentials } = answer;
  const byEvent = answer.events.nodes.find(({ objectId }: Json) => objectId === id).object;
  return [
    byEvent,
    credential,
    node,
    nodes[0],
    credentials.nodes[0],
    answer.connection.actionCredentials[0].credential,
    answer._entities[0],
  ];
}

const changes: Record<string, { readonly to: object; readonly outdated: readonly string[]; readonly repair: object }> = {
  'a value is taken out of the choices': {
    to: { color: choice({ ...about, choices: color('BLUE'), example: 'BLUE', invalidExample: 'GREEN' }) },
    outdated: ['color'],
    repair: { color: 'BLUE' },
  },
  'a required field is added': { to: { owner: text(word) }, outdated: ['owner'], repair: { owner: 'ada' } },
  'a field is removed, and another is required': {
    to: { number: undefined, label: text(word), doors: undefined },
    outdated: ['label'],
    repair: { label: 'front' },
  },
  'a text becomes a number': {
    to: { number: integer({ ...about, min: 0, max: 9, example: 1, invalidExample: 10 }) },
    outdated: ['number'],
    repair: { number: 7 },
  },
  'a text becomes a list, and a list a text': {
    to: { number: textList({ ...about, maxItems: 5, maxLength: 16, example: ['one'], invalidExample: [''] }), doors: text(later) },
    outdated: ['number', 'doors'],
    repair: { number: ['7'], doors: 'north' },
  },
  'a number and a time become others': {
    to: { floor: flag({ ...about, optional: true, example: true, invalidExample: 1 }), since: integer({ ...before.floor }) },
    outdated: ['floor', 'since'],
    repair: { floor: true, since: null },
  },
  'a setting becomes a secret': { to: { number: secret({ ...word, example: '1234' }) }, outdated: ['number'], repair: { number: '007' } },
  'a secret becomes a setting': { to: { pin: text(word) }, outdated: ['pin'], repair: { pin: 'front' } },
};

describe.each(Object.entries(changes))('%s', (_, { to, outdated, repair }) => {
  it('is shown as outdated wherever it is, without hiding anything else', async () => {
    await reopen(to);
    for (const shown of await seen()) {
      expect(shown).toMatchObject({ __typename: 'OutdatedCredential', name: 'badge', outdatedFields: outdated });
      const values = Object.fromEntries(shown.fields.map(({ name, value }: Json) => [name, value]));
      for (const name of outdated) expect(values[name]).toBeNull();
      if (!('color' in to)) expect(values.color).toBe('RED');
    }
    if ('number' in to) expect(JSON.stringify(await seen())).not.toContain(PLAIN);
    const problems: string[] = [];
    const lines: string[] = [];
    for await (const line of test.gateway.transfer.exportLines(caller.organization, { onProblem: (text) => problems.push(text) }))
      lines.push(line);
    expect(problems).toEqual(['wrote 1 credential without the settings that do not fit their kinds any more']);
    if ('number' in to) expect(lines.join()).not.toContain(PLAIN);
    else expect(lines.join()).toContain(PLAIN);
  });

  it('is not used', async () => {
    const plan = (await test.query(caller, `query ($id: ID!) { connection(by: { id: $id }) { ${PLAN} } }`, { id: connection })).connection
      .requestPlan;
    expect(plan).toEqual({ steps: [], problems: [{ code: 'OUTDATED' }] });
    const request = { connection: { id: connection }, purpose: 'ACTION', method: 'GET', url: 'https://api.example.com/' };
    expect(await run(test, caller, 'authorizeRequest', request, 'url')).toMatchObject({
      __typename: 'CredentialNotUsableError',
      message: expect.stringContaining('outdatedFields'),
    });
  });

  it('can be changed, and is repaired by what does not fit, without losing anything else', async () => {
    expect(await run(test, caller, 'updateCredential', { credential: id, description: 'still here' })).toMatchObject({
      __typename: 'UpdateCredentialSuccess',
    });
    const incomplete = await run(test, caller, 'updateCredential', { credential: id, data: { badge: {} } });
    expect(incomplete.issues.map(({ path }: Json) => path.at(-1))).toEqual(outdated);
    expect(await run(test, caller, 'updateCredential', { credential: id, data: { badge: repair } })).toMatchObject({
      __typename: 'UpdateCredentialSuccess',
    });
    const { credential } = await test.query(caller, `query ($id: ID!) { credential(id: $id) { ${GENERIC} } }`, { id });
    expect(credential.__typename).toBe('BadgeCredential');
    const values = Object.fromEntries(credential.fields.map(({ name, value }: Json) => [name, value]));
    for (const name of ['color', 'floor'].filter((each) => !(each in to))) expect(values[name]).toBe(data[name as 'color']);
    if (!('pin' in to)) {
      const revealed = await run(test, caller, 'revealSecret', { credential: id, field: 'pin', reason: 'the test looks' }, 'plaintext');
      expect(revealed.secret.plaintext).toBe('4711');
    }
    const stored = await test.database.collection<Json>('credentials').findOne({ _id: parseId(id)!.id });
    if ('number' in to) expect(JSON.stringify(stored)).not.toContain(PLAIN);
    // As it was, for the next.
    await run(test, caller, 'deleteCredential', { credential: id, force: true });
    await reopen({});
    const common = { integration, name: 'badge', allowedDomains: ['api.example.com'], allowedPurposes: ['ACTION'] };
    ({ id } = await test.create(caller, 'Credential', { ...common, data: { badge: data } }));
    const actionCredentials = [{ credential: { id } }];
    expect(await run(test, caller, 'updateConnection', { connection: { id: connection }, actionCredentials })).toMatchObject({
      __typename: 'UpdateConnectionSuccess',
    });
  });
});

it('can be deleted while it is outdated', async () => {
  await reopen(changes['a required field is added']!.to);
  expect(await run(test, caller, 'deleteCredential', { credential: id, force: true })).toMatchObject({
    __typename: 'DeleteCredentialSuccess',
  });
});
