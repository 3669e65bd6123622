import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { useTestGateway } from '../harness.ts';

const test = useTestGateway();
let caller = { organization: '' };
const log = '{ auditLog(first: 100) { totalCount nodes { subject action outcome objectId reason count isSealed requestId } } }';
const entries = async (query = log) => (await test.query(caller, query)).auditLog.nodes;
const stored = () => test.database.collection('auditEntries');
const seals = () => test.database.collection('auditSeals');

beforeEach(() => {
  caller = { organization: test.newOrganization() };
});

async function integrations(count: number): Promise<string[]> {
  const ids = [];
  for (let index = 0; index < count; index++) ids.push((await test.create(caller, 'Integration', { name: `integration ${index}` })).id);
  return ids;
}

describe('what is done is written down in the transaction that does it', () => {
  it('tells who did what to which object, and never a value', async () => {
    const canary = randomBytes(12).toString('hex');
    const [integration] = await integrations(1);
    const { id } = await test.create(caller, 'Credential', {
      integration: { id: integration },
      name: 'mine',
      data: { string: { value: canary } },
    });
    await test.query(
      caller,
      'mutation ($id: ID!, $value: String!) { updateCredential(input: { credential: $id, data: { string: { value: $value } } }) { __typename } }',
      {
        id,
        value: `${canary}2`,
      },
    );
    await test.query(caller, 'mutation ($id: ID!) { deleteCredential(input: { credential: $id }) { __typename } }', { id });
    expect(
      (await entries()).map(({ action, outcome, objectId, subject }: Record<string, string>) => ({ action, outcome, objectId, subject })),
    ).toEqual(
      [
        ['deleteCredential', id],
        ['updateCredential', id],
        ['createCredential', id],
        ['createIntegration', integration],
      ].map(([action, objectId]) => ({ action, outcome: 'SUCCESS', objectId, subject: 'tester' })),
    );
    const all = await stored().find({ organizationId: caller.organization }).toArray();
    expect(JSON.stringify(all)).not.toContain(canary);
  });

  it('leaves no entry of what was rolled back', async () => {
    await integrations(1);
    const answer = await test.query(
      caller,
      'mutation { createIntegration(input: { name: "integration 0" }) { ... on MutationError { code } } }',
    );
    expect(answer.createIntegration.code).toBe('CONFLICT');
    expect(await stored().countDocuments({ organizationId: caller.organization })).toBe(1);
  });

  // A reveal that cannot be written down must not happen; one that fails after is written down all the same.
  it('writes a reveal, with field and reason, before anything is opened', async () => {
    const [integration] = await integrations(1);
    const { id } = await test.create(caller, 'Credential', {
      integration: { id: integration },
      name: 'mine',
      data: { string: { value: 'plain' } },
    });
    await test.database.collection('secrets').updateOne({ organizationId: caller.organization }, { $set: { sealed: 'broken' } });
    const reveal =
      'mutation ($id: ID!) { revealSecret(input: { credential: $id, field: "value", reason: "support case 7" }) { ... on MutationError { code } } }';
    expect((await test.query(caller, reveal, { id })).revealSecret.code).toBe('UNREADABLE_SECRET');
    const [newest] = await entries();
    expect(newest).toMatchObject({ action: 'revealSecret', outcome: 'SUCCESS', objectId: id, reason: 'value: support case 7' });
  });

  it('has an entry of what the gateway deletes by itself', async () => {
    const [integration] = await integrations(1);
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    await test.create(caller, 'Credential', {
      integration: { id: integration },
      name: 'mine',
      expiresAt,
      data: { string: { value: 'plain' } },
    });
    test.time = () => new Date(Date.now() + 120_000);
    try {
      await test.gateway.sweep();
      const [newest] = await entries();
      expect(newest).toMatchObject({ action: 'expireCredential', subject: '(credential-gateway)', requestId: null });
    } finally {
      test.time = () => new Date();
    }
  });
});

describe('what is refused is summed', () => {
  it('writes one entry for many refusals of a viewer, whatever refused them', async () => {
    await integrations(1);
    const reader = { ...caller, scopes: ['integrations.get'] };
    for (let index = 0; index < 5; index++)
      await test.answer(reader, 'mutation { createIntegration(input: { name: "x" }) { __typename } }');
    for (let index = 0; index < 3; index++) {
      await test.query(caller, 'mutation { createIntegration(input: { name: "integration 0" }) { __typename } }');
    }
    await test.gateway.audit.seal();
    const refused = (await entries()).filter(({ outcome }: { outcome: string }) => outcome !== 'SUCCESS');
    expect(
      refused
        .map(({ action, outcome, count }: Record<string, unknown>) => ({ action, outcome, count }))
        .sort((a: { count: number }, b: { count: number }) => a.count - b.count),
    ).toEqual([
      { action: 'createIntegration', outcome: 'CONFLICT', count: 3 },
      { action: 'createIntegration', outcome: 'FORBIDDEN', count: 5 },
    ]);
  });

  it('writes those without a token to the log of the platform only', async () => {
    const before = await stored().countDocuments({ organizationId: { $ne: '(platform)' } });
    for (let index = 0; index < 4; index++) await test.send({ query: '{ __typename }' });
    test.logs.length = 0;
    await test.gateway.audit.seal();
    expect(await stored().countDocuments({ organizationId: { $ne: '(platform)' } })).toBe(before);
    expect(await stored().findOne({ organizationId: '(platform)', action: 'refuseToken' })).toMatchObject({
      outcome: 'UNAUTHENTICATED',
      count: 4,
    });
    expect(test.logs.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ count: 4, msg: 'requests without a valid token were refused' }),
    );
  });
});

describe('the log is read by those with the scope for it', () => {
  it('pages and filters', async () => {
    const [first] = await integrations(3);
    const by = async (filter: string) => (await entries(`{ auditLog(${filter}) { nodes { action } } }`)).length;
    expect(await by('action: createIntegration')).toBe(3);
    expect(await by('action: deleteIntegration')).toBe(0);
    expect(await by(`objectId: "${first}"`)).toBe(1);
    expect(await by('subject: "tester", outcome: SUCCESS')).toBe(3);
    expect(await by('subject: "nobody"')).toBe(0);
    expect(await by(`since: "${new Date(Date.now() + 60_000).toISOString()}"`)).toBe(0);
    expect(await by(`until: "${new Date(Date.now() + 60_000).toISOString()}"`)).toBe(3);
    const { auditLog } = await test.query(caller, '{ auditLog(first: 2) { pageInfo { hasNextPage endCursor } } }');
    expect(await by(`first: 2, after: "${auditLog.pageInfo.endCursor}"`)).toBe(1);
  });

  it('shows an outcome of another version as OTHER, and refuses that as a filter', async () => {
    await integrations(2);
    const ids = (await stored().find({ organizationId: caller.organization }).toArray()).map(({ _id }) => _id);
    // `constructor` is in every object.
    for (const [index, outcome] of ['OF_LATER', 'constructor'].entries())
      await stored().updateOne({ _id: ids[index] }, { $set: { outcome } });
    expect((await entries()).map(({ outcome }: { outcome: string }) => outcome)).toEqual(['OTHER', 'OTHER']);
    const answer = await test.answer(caller, '{ auditLog(outcome: OTHER) { nodes { id } } }');
    expect(answer.errors).toMatchObject([
      { path: ['auditLog'], message: expect.stringContaining('outcome: must not be OTHER'), extensions: { code: 'VALIDATION_FAILED' } },
    ]);
  });

  it('shows an action of another version as OTHER, and refuses that as a filter', async () => {
    await integrations(4);
    const ids = (await stored().find({ organizationId: caller.organization }).toArray()).map(({ _id }) => _id);
    // `constructor` is in every object. Earlier versions wrote several mutations into one entry.
    const texts = ['ofLater', 'constructor', 'createConnection revealSecret', '(many)'];
    for (const [index, action] of texts.entries()) await stored().updateOne({ _id: ids[index] }, { $set: { action } });
    const shown = (await entries('{ auditLog { nodes { id action } } }')).map(({ action }: { action: string }) => action);
    expect(shown).toEqual(['OTHER', 'OTHER', 'OTHER', 'OTHER']);
    const answer = await test.answer(caller, '{ auditLog(action: OTHER) { nodes { id } } }');
    expect(answer.errors).toMatchObject([
      { path: ['auditLog'], message: expect.stringContaining('action: must not be OTHER'), extensions: { code: 'VALIDATION_FAILED' } },
    ]);
  });

  it('has an entry for each mutation of an operation that was refused as a whole, also in fragments, and for none that is skipped', async () => {
    await integrations(1);
    const refused = { ...caller, scopes: ['audit.get', 'integrations.get'] };
    const mutations = `mutation { ...F } fragment F on Mutation {
      a: deleteIntegration(input: { integration: { name: "x" } }) { __typename }
      b: deleteIntegration(input: { integration: { name: "y" } }) { __typename }
      createConnector(input: { integration: { name: "x" }, name: "x", baseUrl: "https://api.example.com" }) @skip(if: true) { __typename }
      revealSecret(input: { credential: "x", field: "x", reason: "a test of refusals" }) { __typename }
    }`;
    expect((await test.answer(refused, mutations)).errors?.[0].extensions.code).toBe('FORBIDDEN');
    await test.gateway.audit.seal();
    const written = (await entries('{ auditLog(outcome: FORBIDDEN) { nodes { action count } } }')).map(
      ({ action, count }: { action: string; count: number }) => [action, count],
    );
    expect(written.toSorted()).toEqual([
      ['deleteIntegration', 1],
      ['revealSecret', 1],
    ]);
  });

  it('refuses others, and shows no organization another’s', async () => {
    await integrations(1);
    const answer = await test.answer({ ...caller, scopes: ['integrations.*', 'credentials.*'] }, log);
    expect(answer.errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'audit.get' });
    const other = await test.query({ organization: test.newOrganization() }, log);
    expect(other.auditLog.nodes).toEqual([]);
  });
});

describe('a change to the log shows', () => {
  const verify = () => test.gateway.audit.verify(caller.organization);

  it('finds an untouched log intact, and tells how long the tail is that is not sealed yet', async () => {
    await integrations(3);
    expect(await verify()).toMatchObject({ problems: [], batches: 0, unsealed: 3 });
    await test.gateway.audit.seal();
    await test.create(caller, 'Integration', { name: 'later' });
    expect(await verify()).toMatchObject({ problems: [], batches: 1, entries: 3, unsealed: 1, oldestUnsealed: expect.any(Date) });
    expect((await entries()).map(({ isSealed }: { isSealed: boolean }) => isSealed)).toEqual([false, true, true, true]);
  });

  it('is sealed though the log of an organization before it cannot be', async () => {
    await integrations(1);
    const broken = { organizationId: caller.organization, purpose: 'audit' };
    const keys = test.database.collection('dataKeys');
    await keys.updateOne(broken, { $set: { state: 'opening' } });
    await test.close();
    await test.open();
    caller = { organization: test.newOrganization() };
    await integrations(1);
    try {
      await expect(test.gateway.audit.seal()).rejects.toMatchObject({ errors: [expect.any(Error)] });
      expect(await verify()).toMatchObject({ problems: [], batches: 1, unsealed: 0 });
      expect((await test.gateway.audit.verify(broken.organizationId))!.problems).toContain(
        'its audit key is missing or cannot be unwrapped, so nothing can be authenticated',
      );
    } finally {
      await keys.updateOne(broken, { $set: { state: 'current' } });
    }
    await test.gateway.audit.seal();
    expect(await test.gateway.audit.verify(broken.organizationId)).toMatchObject({ problems: [], batches: 1, unsealed: 0 });
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['a removed entry', () => stored().deleteOne({ organizationId: caller.organization, sequence: 1 }), /batch 1: .*removed/],
    [
      'a changed subject',
      () => stored().updateOne({ organizationId: caller.organization, sequence: 1 }, { $set: { subject: 'somebody else' } }),
      /batch 1: an entry was/,
    ],
    [
      'a changed kind of viewer',
      () => stored().updateOne({ organizationId: caller.organization, sequence: 1 }, { $set: { viewerKind: 'gateway' } }),
      /batch 1: an entry was/,
    ],
    [
      'a removed kind of viewer',
      () => stored().updateOne({ organizationId: caller.organization, sequence: 1 }, { $unset: { viewerKind: 1 } }),
      /batch 1: an entry was/,
    ],
    [
      'a changed time',
      () => stored().updateOne({ organizationId: caller.organization, sequence: 1 }, { $set: { createdAt: new Date(0) } }),
      /batch 1: an entry was/,
    ],
    [
      'an inserted entry',
      async () => {
        const entry = await stored().findOne({ organizationId: caller.organization, sequence: 1 });
        await stored().insertOne({ ...entry, _id: 'f'.repeat(24) as never, number: 99 });
      },
      /batch 1: has 3 entries, but was sealed with 2/,
    ],
    ['a removed batch', () => seals().deleteOne({ organizationId: caller.organization, sequence: 1 }), /batch 2: does not follow/],
    [
      'a removed last batch',
      () => seals().deleteOne({ organizationId: caller.organization, sequence: 2 }),
      /2 entries belong to batches that are missing/,
    ],
    [
      'an entry moved back to the tail',
      () => stored().updateOne({ organizationId: caller.organization, sequence: 2 }, { $set: { sequence: null } }),
      /batch 2: has 1 entries, but was sealed with 2/,
    ],
    [
      'a changed batch',
      () => seals().updateOne({ organizationId: caller.organization, sequence: 1 }, { $set: { sealedAt: new Date(0) } }),
      /batch 1: the record of the batch was changed/,
    ],
    [
      'a forged MAC',
      () => seals().updateOne({ organizationId: caller.organization, sequence: 1 }, { $set: { mac: 'x'.repeat(43) } }),
      /not sealed by this gateway/,
    ],
  ])('%s', async (_what, tamper, problem) => {
    await integrations(2);
    await test.gateway.audit.seal();
    await test.create(caller, 'Integration', { name: 'a' });
    await test.create(caller, 'Integration', { name: 'b' });
    await test.gateway.audit.seal();
    expect((await verify())?.problems).toEqual([]);
    await tamper();
    expect((await verify())?.problems.join('\n')).toMatch(problem);
  });

  // Copies of the gateway all seal each minute; while writers write.
  it('stays intact when several seal at once, under load', async () => {
    await integrations(1);
    const write = async (writer: number) => {
      for (let index = 0; index < 4; index++) await test.create(caller, 'Integration', { name: `${writer}-${index}` });
    };
    const seal = async () => {
      for (let index = 0; index < 3; index++) await test.gateway.audit.seal();
    };
    await Promise.all([write(1), write(2), write(3), seal(), seal(), seal()]);
    await test.gateway.audit.seal();
    expect(await verify()).toMatchObject({ problems: [], entries: 13, unsealed: 0 });
  });
});
