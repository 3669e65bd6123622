import { createHash, generateKeyPairSync } from 'node:crypto';
import { beforeAll, expect, it } from 'vitest';
import { openTransferred } from '../../src/secrets/transfer.ts';
import { contents } from '../database.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { credentialKinds } from '../kinds.ts';

const test = useTestGateway();
const source = { organization: test.newOrganization() };
const integration = { name: 'crm' };
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const reason = 'moving to another gateway';
const plaintext = 'a secret that is nowhere in clear';

beforeAll(async () => {
  await test.create(source, 'Integration', { ...integration, description: 'One.', ssoClaims: { tags: ['vip'] } });
  await test.create(source, 'Integration', { name: 'empty' });
  const contacts = [{ type: 'BILLING', name: 'Ada', email: 'ada@example.com' }];
  const ada = await test.create(source, 'EndUser', { integration, externalId: 'ada', displayName: 'Ada', contacts });
  await test.query(
    source,
    `mutation ($id: ID!) { setEmailVerified(input: { endUser: { id: $id }, contactType: BILLING, email: "ada@example.com", verified: true }) { __typename } }`,
    { id: ada.id },
  );
  // One of each kind, with all that it can have.
  const ids: string[] = [];
  for (const kind of credentialKinds.filter(({ refusal, storedAs }) => !refusal && !storedAs)) {
    const data = Object.fromEntries(Object.entries(kind.fields).map(([name, { example }]) => [name, example]));
    const owner = ids.length % 2 === 0 ? {} : { endUser: { id: ada.id } };
    const input = { integration, ...owner, name: `c ${kind.kind}`, expiresAt: '2100-01-01T00:00:00Z', data: { [kind.kind]: data } };
    ids.push((await test.create(source, 'Credential', input)).id);
  }
  const client = await test.create(source, 'Credential', {
    integration,
    name: 'client',
    data: { oauth2Client: { clientId: 'c', clientSecret: plaintext, tokenUrl: 'https://auth.example.com/token' } },
  });
  const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', clientCredentialId: client.id };
  const authScheme = { schemeId: 'oauth', schemeType: 'OAUTH2', oauth2 };
  const connector = await test.create(source, 'Connector', {
    integration,
    name: 'service',
    baseUrl: 'https://api.example.com',
    endUsersMayUseClient: true,
    authSchemes: [authScheme, { schemeId: 'key', schemeType: 'API_KEY', apiKey: { name: 'X-Key', in: 'HEADER' } }],
  });
  await test.create(source, 'Connection', {
    integration,
    connector: { id: connector.id },
    endUser: { id: ada.id },
    name: 'ada’s',
    variables: [{ name: 'region', value: 'eu' }],
    actionCredentials: [...ids.slice(0, 10).map((id) => ({ credential: { id } })), { credential: { id: client.id }, authScheme }],
    triggerCredentials: [{ credential: { id: ids[0] } }],
  });
  await test.create(source, 'Connection', { integration, name: 'shared', allowedDomain: 'api.example.com' });
});

const exported = async (organization: string, withSecrets = false): Promise<string[]> => {
  const problems: string[] = [];
  const lines: string[] = [];
  const secrets = withSecrets ? { secrets: { recipient: publicKey, reason } } : {};
  for await (const line of test.gateway.transfer.exportLines(organization, { ...secrets, onProblem: (text) => problems.push(text) }))
    lines.push(line);
  expect(problems).toEqual([]);
  return lines;
};
async function imported(organization: string, lines: readonly string[], options: object = {}) {
  const problems: string[] = [];
  async function* each() {
    yield* lines;
  }
  const onProblem = (line: number, message: string) => void problems.push(`${line} ${message}`);
  const { counts } = await test.gateway.transfer.importLines(organization, each(), { onProblem, ...options });
  return { counts, problems };
}
/** The lines with references by order, and secrets in clear: what remains equal. */
async function comparable(lines: readonly string[]): Promise<Json[]> {
  const references: string[] = lines.flatMap((line) => JSON.parse(line).reference ?? []);
  const replaced = references.reduce((text, reference, index) => text.replaceAll(reference, `reference ${index}`), lines.join('\n'));
  return Promise.all(
    replaced.split('\n').map(async (text, index) => {
      const line = JSON.parse(text);
      const { reference } = JSON.parse(lines[index]!);
      for (const [field, sealed] of Object.entries<string | null>(line.secrets instanceof Object ? line.secrets : {})) {
        if (sealed !== null) line.secrets[field] = (await openTransferred(privateKey, { reference, field }, sealed)).expose();
      }
      return line;
    }),
  );
}
const stored = async (organization: string) => {
  const { auditEntries: _, slots: __, usage: ___, ...rest } = await contents(test, organization);
  return JSON.stringify(rest, (name, value) => (name === 'touches' ? undefined : value));
};
const hash = (text: string) => createHash('sha256').update(text).digest('hex');

it('moves an organization: an export of the copy is equal, but for references and times', async () => {
  const lines = await exported(source.organization, true);
  expect(lines.join('\n')).not.toContain(plaintext);
  const target = test.newOrganization();
  const first = await imported(target, lines, { key: privateKey });
  expect(first).toEqual({ counts: { CREATED: lines.length - 1, UPDATED: 0, UNCHANGED: 0, FAILED: 0 }, problems: [] });
  expect(await comparable(await exported(target, true))).toEqual(await comparable(lines));
  expect((await comparable(lines)).find(({ name }) => name === 'client').secrets.clientSecret).toBe(plaintext);

  // The same again, as after it was stopped, changes nothing.
  const before = hash(await stored(target));
  expect((await imported(target, lines, { key: privateKey })).counts).toMatchObject({ CREATED: 0, UPDATED: 0, FAILED: 0 });
  expect(hash(await stored(target))).toBe(before);
  for (const { organization } of [source, { organization: target }]) {
    expect((await test.gateway.audit.verify(organization))!.problems).toEqual([]);
  }

  // Each secret that was exported is in the audit log, with the reason.
  const { auditLog } = await test.query(source, '{ auditLog(first: 100, action: "revealSecret") { totalCount nodes { reason } } }');
  const secrets = lines.flatMap((line) => Object.keys(JSON.parse(line).type === 'credential' ? JSON.parse(line).secrets : {}));
  expect(auditLog.totalCount).toBe(secrets.length);
  expect(auditLog.nodes[0].reason).toMatch(new RegExp(`^with exportSecrets: \\w+: ${reason}$`));
});

it('continues after it was stopped in the middle', async () => {
  const lines = await exported(source.organization, true);
  const target = test.newOrganization();
  async function* half() {
    yield* lines.slice(0, Math.ceil(lines.length / 2));
    throw new Error('stopped');
  }
  await expect(test.gateway.transfer.importLines(target, half(), { key: privateKey, onProblem: () => {} })).rejects.toThrow('stopped');
  expect((await imported(target, lines, { key: privateKey })).problems).toEqual([]);
  expect(await comparable(await exported(target, true))).toEqual(await comparable(lines));
});

it('without secrets, says of each credential that it is missing, and keeps the secrets of those that exist', async () => {
  const [plain, sealed] = [await exported(source.organization), await exported(source.organization, true)];
  const target = test.newOrganization();
  const lacking = await imported(target, plain);
  const isLacking = (line: string) => JSON.parse(line).type === 'credential' && Object.keys(JSON.parse(line).secrets).length > 0;
  expect(lacking.counts.FAILED).toBe(plain.filter(isLacking).length);
  expect(lacking.problems[0]).toMatch(/^\d+ was not imported: The file does not contain its secrets\.$/);
  expect(lacking.problems.at(-1)).toMatch(/^\d+ was imported without \d+ of its credentials, which do not exist/);
  expect((await imported(target, sealed)).problems[0]).toContain('Its secrets are sealed. Give the key');
  // The other key, and a secret of another line.
  const other = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
  expect((await imported(target, sealed, { key: other })).problems[0]).toContain('cannot be opened');
  const [one, two] = sealed.filter(isLacking).map((line) => JSON.parse(line));
  const moved = { ...two, secrets: { [Object.keys(two.secrets)[0]!]: Object.values(one.secrets)[0] } };
  expect((await imported(target, [JSON.stringify(moved)], { key: privateKey })).problems[0]).toContain('cannot be opened');

  expect((await imported(target, sealed, { key: privateKey })).problems).toEqual([]);
  expect((await imported(target, plain)).counts).toMatchObject({ CREATED: 0, UPDATED: 0, FAILED: 0 });
  expect(await comparable(await exported(target, true))).toEqual(await comparable(sealed));
});

it('reports bad lines by their numbers, without what stands in them, and imports the others', async () => {
  const canary = 'canary4711';
  const lines = [
    '{"type":"integration","name":"crm"}',
    `${canary}`,
    `{"type":"${canary}"}`,
    '',
    `{"type":"endUser","integration":"crm","externalId":"a","${canary}":1}`,
    `{"type":"endUser","integration":"crm","externalId":7}`,
    `{"type":"endUser","integration":"${canary}","externalId":"a"}`,
    `{"type":"endUser","integration":"crm","externalId":"a","contacts":[{"type":"BILLING","email":"${canary}"}]}`,
    '{"type":"endUser","integration":"crm","externalId":"good"}',
    `{"type":"connection","integration":"crm","endUser":"${canary}","name":"c"}`,
    '{"type":"connection","integration":"crm","endUser":"good","name":"c"}',
  ];
  const { counts, problems } = await imported(test.newOrganization(), lines);
  expect(counts).toEqual({ CREATED: 3, UPDATED: 0, UNCHANGED: 0, FAILED: 7 });
  expect(problems.map((text) => text.split(' ')[0])).toEqual(['2', '3', '5', '6', '7', '8', '10']);
  expect(problems.join()).not.toContain(canary);
  await expect(
    (async () => {
      for await (const _ of test.gateway.transfer.exportLines(source.organization, {
        secrets: { recipient: publicKey, reason: 'short' },
        onProblem: () => {},
      }));
    })(),
  ).rejects.toThrow('must have at least 10 characters');
});
