import { createHash, generateKeyPairSync } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactEncrypt } from 'jose';
import type { ObjectId } from 'mongodb';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { exportOrganization, importFile, linesOf } from '../../src/cli/transfer.ts';
import { TransferLog } from '../../src/cli/transfer-log.ts';
import { placeOf } from '../../src/domain/transfer-lines.ts';
import { openTransferred } from '../../src/secrets/transfer.ts';
import { contents } from '../database.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { credentialKinds } from '../kinds.ts';

const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-transfer-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

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
  // What an end user has written is marked, also in the target.
  const browser = { ...source, token: await test.makeEndUserToken(source, { id: ada.id }) };
  const login = { username: 'ada', password: plaintext };
  const byAda = { integration, endUser: { id: ada.id }, name: 'by ada', expiresAt: '2100-01-01T00:00:00Z', data: { basicAuth: login } };
  await test.create(browser, 'Credential', byAda);
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
  const own = await test.create(source, 'Connection', {
    integration,
    connector: { id: connector.id },
    endUser: { id: ada.id },
    name: 'ada’s',
    variables: [{ name: 'region', value: 'eu' }],
    actionCredentials: [...ids.slice(0, 10).map((id) => ({ credential: { id } })), { credential: { id: client.id }, authScheme }],
    triggerCredentials: [{ credential: { id: ids[0] } }],
  });
  await test.query(
    source,
    `mutation ($id: ID!, $own: ID!) { updateEndUser(input: { endUser: { id: $id }, primaryConnection: { id: $own } }) { ... on UpdateEndUserSuccess { endUser { id } } } }`,
    { id: ada.id, own: own.id },
  );
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
async function imported(organization: string, lines: readonly (string | object)[], options: object = {}) {
  const problems: string[] = [];
  async function* each() {
    for (const line of lines) yield typeof line === 'string' ? line : JSON.stringify(line);
  }
  const onProblem = (line: number, message: string) => void problems.push(`${line} ${message}`);
  const { counts, ...report } = await test.gateway.transfer.importLines(organization, each(), { onProblem, ...options });
  expect(report.lines).toBe(Object.values(counts).reduce((sum, number) => sum + number));
  // One for each line, whatever is wrong with it.
  expect(problems).toHaveLength(report.problems);
  expect(new Set(problems.map((text) => text.split(' ')[0])).size).toBe(report.problems);
  return { counts, problems };
}
/** The lines with references by order, and secrets in clear: what remains equal. */
async function comparable(lines: readonly string[]): Promise<Json[]> {
  const references: string[] = lines.flatMap((line) => JSON.parse(line).reference ?? []);
  const replaced = references.reduce((text, reference, index) => text.replaceAll(reference, `reference ${index}`), lines.join('\n'));
  return Promise.all(
    replaced.split('\n').map(async (text, index) => {
      const line = JSON.parse(text);
      const place = (field: string) => placeOf(JSON.parse(lines[index]!), field);
      for (const [field, sealed] of Object.entries<string | null>(line.secrets instanceof Object ? line.secrets : {})) {
        if (sealed !== null) line.secrets[field] = (await openTransferred(privateKey, place(field), sealed)).expose();
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
  expect(first).toEqual({ counts: { CREATED: lines.length - 2, UPDATED: 0, UNCHANGED: 0, FAILED: 0 }, problems: [] });
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
  const { auditLog } = await test.query(source, '{ auditLog(first: 100, action: revealSecret) { totalCount nodes { reason } } }');
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
  const before = hash(await stored(target));
  await expect(imported(target, sealed)).rejects.toThrow(
    'The file contains sealed secrets, and nothing was imported. Give the private key',
  );
  expect(hash(await stored(target))).toBe(before);
  expect((await imported(target, sealed.slice(1))).problems[0]).toContain('Its secrets are sealed, and no key was given');
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

it('changes nothing in the organization that the file was exported from', async () => {
  const before = hash(await stored(source.organization));
  for (const lines of [await exported(source.organization, true), await exported(source.organization)]) {
    const again = await imported(source.organization, lines, { key: privateKey });
    expect(again).toEqual({ counts: { CREATED: 0, UPDATED: 0, UNCHANGED: lines.length - 2, FAILED: 0 }, problems: [] });
    expect(hash(await stored(source.organization))).toBe(before);
  }
  // The ids of an integration mean nothing in another one, and the secrets are bound to theirs.
  const other = test.newOrganization();
  await imported(other, await exported(source.organization, true), { key: privateKey });
  const records = async () => (await exported(other)).filter((line) => !line.includes('"crm 2"') && !line.includes('"type":"end"'));
  const own = await records();
  const lines = (await exported(other, true)).map((line) => line.replaceAll('"crm"', '"crm 2"'));
  const { problems } = await imported(other, lines, { key: privateKey });
  expect(problems.some((problem) => problem.includes('its line was changed after the export'))).toBe(true);
  expect(await records()).toEqual(own);
});

it('keeps the credentials of what exists, where the line names one that does not exist', async () => {
  const lines = await exported(source.organization, true);
  const target = test.newOrganization();
  await imported(target, lines, { key: privateKey });
  const before = hash(await stored(target));
  const isOf = (type: string) => (line: string) => JSON.parse(line).type === type;
  const client = JSON.parse(lines.find((line) => JSON.parse(line).name === 'client')!).reference;
  const unknown = (line: string) => JSON.parse(line.replaceAll(client, 'f'.repeat(24)));
  const connector = unknown(lines.find(isOf('connector'))!);
  const connection = unknown(lines.find((line) => isOf('connection')(line) && line.includes(client))!);
  const kept = await imported(target, [connector, connection]);
  expect(kept.counts).toEqual({ CREATED: 0, UPDATED: 0, UNCHANGED: 2, FAILED: 0 });
  expect(kept.problems).toEqual([
    '1 was imported, but what exists keeps its authSchemes: 1 of the credentials in the line do not exist',
    '2 was imported, but what exists keeps its actionCredentials: 1 of the credentials in the line do not exist',
  ]);
  expect(hash(await stored(target))).toBe(before);
  // What else is in the line is imported, also the other list.
  const changed = { ...connection, allowedDomain: 'api.example.com', triggerCredentials: [] };
  const schemes = { ...connector, description: 'new', authSchemes: [connector.authSchemes[0]] };
  expect((await imported(target, [changed, schemes])).counts).toMatchObject({ UPDATED: 2 });
  const after = (await exported(target)).map((line) => JSON.parse(line));
  const [newConnection, newConnector] = [after.find(({ name }) => name === connection.name), after.find(({ name }) => name === 'service')];
  expect(newConnection).toMatchObject({ allowedDomain: 'api.example.com', triggerCredentials: [] });
  expect(newConnection.actionCredentials).toHaveLength(connection.actionCredentials.length);
  expect(newConnector).toMatchObject({ description: 'new', authSchemes: [{ oauth2: { clientCredentialId: expect.any(String) } }] });
  // New ones lack it, and a line that is wrong is only that.
  const fresh = [
    { ...connector, name: 'fresh' },
    { ...connection, name: 'fresh' },
    { ...connection, name: 'wrong', endUser: 'nobody' },
  ];
  const lacking = await imported(target, fresh);
  expect(lacking.counts).toEqual({ CREATED: 2, UPDATED: 0, UNCHANGED: 0, FAILED: 1 });
  expect(lacking.problems.map((text) => text.split(':')[0])).toEqual([
    '1 was imported without 1 of its credentials, which do not exist',
    '2 was imported without 1 of its credentials, which do not exist',
    '3 was not imported',
  ]);
});

it('refuses a second line of the same record, whether it exists or is new', async () => {
  const target = test.newOrganization();
  const lines = [
    { type: 'endUser', integration: 'crm', externalId: 'a' },
    { type: 'endUser', integration: 'crm', externalId: 'a', displayName: 'Other' },
    { type: 'credential', integration: 'crm', reference: 'r', name: 'one', kind: 'none', settings: {}, secrets: {} },
    { type: 'credential', integration: 'crm', reference: 'r', name: 'other', kind: 'none', settings: {}, secrets: {} },
  ];
  const kind = credentialKinds.find(
    ({ refusal, storedAs, fields }) => !refusal && !storedAs && Object.values(fields).every(({ secret }) => !secret),
  );
  expect(kind).toBeDefined();
  const settings = Object.fromEntries(Object.entries(kind!.fields).map(([name, { example }]) => [name, example]));
  const own = lines.map((line) => ('kind' in line ? { ...line, kind: kind!.kind, settings } : line));
  await imported(target, [{ type: 'integration', name: 'crm' }]);
  for (const status of ['CREATED', 'UNCHANGED']) {
    const { counts, problems } = await imported(target, own);
    expect(counts).toMatchObject({ [status]: 2, FAILED: 2 });
    expect(problems).toEqual([
      '2 was not imported: externalId: must not be that of an earlier line',
      '4 was not imported: reference: must not be that of an earlier line',
    ]);
  }
});

it('leaves out what was altered, and what belongs to it, and exports and imports the rest', async () => {
  const lines = await exported(source.organization, true);
  const target = test.newOrganization();
  await imported(target, lines, { key: privateKey });
  const { endUsers, connectors, credentials } = await contents(test, target);
  const [ada] = endUsers!;
  const leftOut = async () => {
    const problems: string[] = [];
    const left: Json[] = [];
    const options = { onProblem: (text: string) => void problems.push(text), secrets: { recipient: publicKey, reason } };
    for await (const line of test.gateway.transfer.exportLines(target, options)) left.push(JSON.parse(line));
    return { left, problems };
  };
  const owned = credentials!.filter(({ endUserId }) => String(endUserId) === String(ada._id)).length;
  const missing = 'of an end user or a connector that does not exist any more, or was changed by somebody else than the gateway';
  const change = (name: string, _id: unknown, set: object) =>
    test.database.collection(name).updateOne({ _id: _id as ObjectId }, { $set: set });
  await change('endUsers', ada._id, { displayName: 'Mallory' });
  const altered = await leftOut();
  expect(altered.problems).toEqual([
    'left out 1 object changed by somebody else than the gateway',
    `left out ${owned} credentials ${missing}`,
    `left out 1 connection ${missing}`,
  ]);
  expect(altered.left.filter(({ endUser, externalId }) => endUser ?? externalId)).toEqual([]);
  // Nothing else of the file depends on it.
  const isOfAda = (line: string) => (JSON.parse(line).endUser ?? JSON.parse(line).externalId) === 'ada';
  const again = await imported(target, lines, { key: privateKey });
  expect(again.counts).toMatchObject({ CREATED: 0, UPDATED: 0, FAILED: lines.filter(isOfAda).length });
  expect(again.problems[0]).toMatch(/^\d+ was not imported: The stored end user was changed, but not by the gateway/);

  // Deleted between two pages: here, by somebody else.
  await test.database.collection('endUsers').deleteOne({ _id: ada._id });
  expect((await leftOut()).problems).toEqual(altered.problems.slice(1));
  await test.database.collection('endUsers').insertOne(ada);
  expect((await leftOut()).problems).toEqual([]);
  await test.database.collection('connectors').deleteOne({ _id: connectors![0]._id });
  expect((await leftOut()).problems).toEqual([`left out 1 connection ${missing}`]);
});

it('accepts only keys that are strong enough', async () => {
  const weak = [
    generateKeyPairSync('rsa', { modulusLength: 1_024 }),
    generateKeyPairSync('ec', { namedCurve: 'secp224r1' }),
    generateKeyPairSync('ed25519'),
  ];
  const keyRule = (type: string) =>
    `must be the ${type} key of an RSA key pair of at least 2048 bits, or of one for P-256, P-384, P-521 or X25519`;
  const exportFor = async (recipient: typeof publicKey) => {
    for await (const _ of test.gateway.transfer.exportLines(source.organization, { secrets: { recipient, reason }, onProblem: () => {} }));
  };
  for (const recipient of [...weak.map((pair) => pair.publicKey), privateKey])
    await expect(exportFor(recipient)).rejects.toThrow(keyRule('public'));
  for (const key of [...weak.map((pair) => pair.privateKey), publicKey])
    await expect(imported(source.organization, [], { key })).rejects.toThrow(keyRule('private'));
});

it.skipIf(process.platform === 'win32')(
  'writes a file when it is complete, for this user only, and reads the private key as other key files',
  async () => {
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const path = (name: string) => join(directory, name);
    writeFileSync(path('public'), publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(path('private'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(path('other'), 'mine');
    const options = { organization: source.organization, withSecrets: true, recipient: path('public'), reason };
    const before = readdirSync(directory);
    const reveals = async () =>
      (await test.query(source, '{ auditLog(first: 1, action: revealSecret) { totalCount } }')).auditLog.totalCount;
    const revealed = await reveals();
    await expect(exportOrganization(test.gateway, path('new'), { ...options, reason: 'x' })).rejects.toThrow('at least 10 characters');
    await expect(exportOrganization(test.gateway, path('other'), options)).rejects.toThrow('The file exists already.');
    await expect(exportOrganization(test.gateway, path('none/new'), options)).rejects.toThrow('The file cannot be written (ENOENT).');
    expect(readdirSync(directory)).toEqual(before);
    expect(readFileSync(path('other'), 'utf8')).toBe('mine');
    expect(await reveals()).toBe(revealed);

    expect(await exportOrganization(test.gateway, path('new'), options)).toBe(0);
    expect(readdirSync(directory)).toEqual([...before, 'new'].sort());
    expect(statSync(path('new')).mode & 0o777).toBe(0o600);

    const printed: string[] = [];
    const importWith = (key: string) =>
      importFile(test.gateway, path('new'), { organization: source.organization, key: path(key) }, (line) => printed.push(line));
    await expect(importWith('public')).rejects.toThrow('--key: the file contains no key in PEM or as a JSON Web Key.');
    chmodSync(path('private'), 0o644);
    expect(await importWith('private')).toBe(0);
    expect(printed).toEqual([expect.stringMatching(/^\d+ lines: 0 created, 0 updated, \d+ unchanged, 0 not imported\.$/)]);
    expect(statSync(path('private')).mode & 0o777).toBe(0o600);
    // Only root can give files away.
    if (process.geteuid?.() === 0) {
      chmodSync(path('private'), 0o644);
      chownSync(path('private'), 54_321, 54_321);
      await expect(importWith('private')).rejects.toThrow(/^--key: others can read /);
    }
    told.mockRestore();
  },
);

it('opens a sealed secret only in the line that it was exported in', async () => {
  const target = test.newOrganization();
  const lines = await exported(source.organization, true);
  const parsed = lines.map((line) => JSON.parse(line) as Json);
  const others = lines.filter((_, index) => parsed[index].type === 'integration' || parsed[index].type === 'endUser');
  expect((await imported(target, [...others, '{"type":"endUser","integration":"crm","externalId":"eve"}'])).problems).toEqual([]);
  const line = parsed.find(({ byEndUser }) => byEndUser !== undefined);
  expect(line).toMatchObject({ endUser: 'ada', settings: { username: 'ada' }, byEndUser: ['password'] });
  const [field] = Object.keys(line.secrets);
  const another = parsed.find(
    ({ type, settings, kind }) => type === 'credential' && Object.keys(settings).length > 0 && kind !== line.kind,
  );
  const sealedText = (bytes: Uint8Array, place: { reference: string; field: string; binding: string }) =>
    new CompactEncrypt(bytes)
      .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', ref: place.reference, fld: place.field, bnd: place.binding })
      .encrypt(publicKey);
  const wasChanged = 'its line was changed after the export';
  const edits: [edit: object, problem: string][] = [
    [{ integration: 'empty', endUser: null }, wasChanged],
    [{ endUser: 'eve' }, wasChanged],
    [{ endUser: null }, wasChanged],
    [{ kind: another.kind }, wasChanged],
    [{ settings: another.settings }, wasChanged],
    [{ settings: { ...line.settings, added: 'x' } }, wasChanged],
    [{ allowedDomains: ['evil.example'] }, wasChanged],
    [{ allowedDomains: undefined }, wasChanged],
    [{ allowedPurposes: ['ACTION'] }, wasChanged],
    [{ expiresAt: null }, wasChanged],
    [{ enabled: false }, wasChanged],
    [{ byEndUser: undefined }, wasChanged],
    [{ reference: another.reference }, 'it was sealed for another place'],
    [{ secrets: { [field!]: plaintext } }, 'A secret in it is not sealed'],
    [{ settings: { ...line.settings, [field!]: plaintext }, secrets: {} }, 'A secret in it is not sealed'],
    // As of a Latin-1 file: these bytes would become U+FFFD.
    [{ secrets: { [field!]: await sealedText(Buffer.from('70e9ff41', 'hex'), placeOf(line, field!)) } }, 'it is not UTF-8'],
  ];
  const before = hash(await stored(target));
  const edited = edits.map(([edit]) => JSON.stringify({ ...line, ...edit }));
  const { counts, problems } = await imported(target, edited, { key: privateKey });
  expect(problems).toEqual(edits.map(([, problem]) => expect.stringContaining(problem)));
  expect(counts).toMatchObject({ CREATED: 0, FAILED: edits.length });
  expect(hash(await stored(target))).toBe(before);
  expect((await imported(target, [edited.at(-2)!.replace(plaintext, 'x')])).problems[0]).toContain('A secret in it is not sealed');

  // Names can be edited, and the order of members has no meaning. An existing credential keeps its owner.
  const renamed = Object.fromEntries(Object.entries({ ...line, name: 'renamed', settings: reversed(line.settings) }).reverse());
  const twice = await imported(target, [JSON.stringify(renamed), JSON.stringify(line)], { key: privateKey });
  expect(twice.counts).toMatchObject({ CREATED: 1, FAILED: 1 });
  expect(twice.problems).toEqual(['2 was not imported: reference: must not be that of an earlier line']);
  const bare = { ...line, secrets: { [field!]: null } };
  for (const endUser of ['eve', null]) {
    expect(await imported(target, [JSON.stringify({ ...bare, endUser })])).toEqual({
      counts: { CREATED: 0, UPDATED: 0, UNCHANGED: 0, FAILED: 1 },
      problems: ['1 was not imported: endUser: must be the end user of the existing credential'],
    });
  }
  const { problems: kindProblems } = await imported(target, [JSON.stringify({ ...bare, kind: another.kind, settings: another.settings })]);
  expect(kindProblems).toHaveLength(1);
});

const reversed = (value: object) => Object.fromEntries(Object.entries(value).reverse());

it('reports hostile lines, and goes on', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const credential = '"type":"credential","integration":"crm","reference":"r","kind":"apiKey"';
  const bad = [
    '{"type":{"toString":1,"valueOf":1}}',
    '{"type":["header"]}',
    '{"type":"constructor"}',
    'null',
    '[]',
    deep,
    `{"type":"integration","name":"deep","ssoClaims":${deep}}`,
    `{${credential},"settings":{"__proto__":{"a":1}},"secrets":{}}`,
    `{${credential},"settings":{"\\u005f_proto__":"x"},"secrets":{}}`,
    `{${credential},"settings":{"a":{"b":${deep}}},"secrets":{"key":"eyJh.b.c.d.e"}}`,
    `{${credential},"settings":{},"secrets":{"__proto__":null}}`,
    `{${credential.replace('apiKey', '__proto__')},"settings":{},"secrets":{}}`,
    `{${credential.replace('apiKey', 'constructor')},"settings":{},"secrets":{}}`,
    '{"type":"integration","name":"x","ssoClaims":{"__proto__":{}}}',
    '{"type":"integration","name":"x","__proto__":1}',
    '{"type":"header","version":1,"secrets":"none"}',
    '{"type":"end","lines":-1}',
  ];
  const lines = ['{"type":"integration","name":"crm"}', ...bad, '{"type":"integration","name":"last"}'];
  const { counts, problems } = await imported(test.newOrganization(), lines, { key: privateKey });
  const numbers = problems.map((text) => Number(text.split(' ')[0])).sort((one, other) => one - other);
  expect(numbers).toEqual(bad.map((_, index) => index + 2));
  expect(counts).toEqual({ CREATED: 2, UPDATED: 0, UNCHANGED: 0, FAILED: bad.length });
  const [tooDeep, impossible] = ['is nested too deep', 'has a member with a name that no member can have'];
  for (const [index, line] of bad.entries()) {
    const expected = line.includes('[[') ? tooDeep : line.includes('_proto__":') ? impossible : '';
    expect(problems.find((text) => text.startsWith(`${index + 2} `))).toContain(expected);
  }
});

it('reads files in bytes, and says what is missing in them', async () => {
  const organization = test.newOrganization();
  const integrationLine = (name: string) => `{"type":"integration","name":"${name}"}\n`;
  const header = '{"type":"header","version":1,"secrets":"none"}\n';
  const end = (lines: number) => `{"type":"end","lines":${lines}}\n`;
  const outcome = async (content: string | Buffer, options: object = {}) => {
    const file = join(directory, 'file');
    writeFileSync(file, content);
    const printed: string[] = [];
    const written = vi.spyOn(process.stderr, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
    try {
      const code = await importFile(test.gateway, file, { organization, ...options }, (line) => printed.push(`${line}\n`));
      return { code, text: printed.join('') };
    } finally {
      written.mockRestore();
    }
  };
  const complete = `${header}${integrationLine('a')}\n${integrationLine('b')}${end(3)}\n`;
  expect(await outcome(complete)).toEqual({ code: 0, text: '2 lines: 2 created, 0 updated, 0 unchanged, 0 not imported.\n' });
  // With a byte order mark, line breaks of Windows, and without the last one.
  expect((await outcome(`\ufeff${complete.trim().replaceAll('\n', '\r\n')}`)).code).toBe(0);
  const [noHeader, noEnd] = ['its first line is not the header', 'its last line is not the end'];
  for (const [content, ...missing] of [
    ['', noHeader, noEnd],
    ['\n \n', noHeader, noEnd],
    [header, noEnd],
    [complete.slice(header.length), noHeader, noEnd],
    [`${header}${integrationLine('a')}`, noEnd],
    [`${header}${integrationLine('a')}${end(3)}`, noEnd],
    [`${complete}${integrationLine('a')}`, noEnd],
    [`${integrationLine('a')}${end(1)}`, noHeader],
  ] as const) {
    const { code, text } = await outcome(content);
    expect({ code, missing: [noHeader, noEnd].filter((sentence) => text.includes(sentence)) }, content).toEqual({ code: 1, missing });
  }
  const latin1 = Buffer.from(`${header}${integrationLine('café')}${integrationLine('c')}${end(3)}`, 'latin1');
  expect(await outcome(latin1)).toEqual({
    code: 1,
    text: expect.stringMatching(
      /^Line 2 is not UTF-8\.\nProblems by kind:\n +1 {2}is not UTF-8\.\n2 lines: 1 created, .* 1 not imported\./,
    ),
  });
  await expect(outcome((await exported(source.organization, true)).join('\n'))).rejects.toThrow('Give the private key with --key');

  // In chunks of any size, and lines that are too long, also those that begin with a space.
  const chunks = async function* (...all: (string | Buffer)[]) {
    for (const chunk of all) yield Buffer.from(chunk);
  };
  const read = async (input: AsyncIterable<Uint8Array>) => {
    const lines: string[] = [];
    for await (const line of linesOf(input)) lines.push(typeof line === 'string' ? line : `(${line.message})`);
    return lines;
  };
  const [half, rest] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)];
  expect(await read(chunks('a', half, rest, 'b\n\nc\n', half, '\nd'))).toEqual(['aéb', '', 'c', '(is not UTF-8)', 'd']);
  const mebibytes = (number: number) => Array.from({ length: number }, () => ' '.repeat(1024 * 1024));
  const tooLong = '(is longer than 8388608 bytes)';
  expect(await read(chunks(...mebibytes(8), '{\nd\n', ...mebibytes(9)))).toEqual([tooLong, 'd', tooLong]);
  expect(await read(chunks(...mebibytes(8), '\n'))).toEqual([mebibytes(8).join('')]);
});

it('prints the first problems of each kind, all of them by kind, and the progress', () => {
  let time = 0;
  const written: string[] = [];
  const log = new TransferLog(
    (text) => written.push(text),
    false,
    () => time,
  );
  for (let line = 1; line <= 1_000; line++) {
    log.problem(line, `was imported without ${line} of its credentials.`);
    if (line % 2 === 0) log.problem(line, 'is not JSON');
    time += 50;
    log.progress({ lines: line, problems: 0 });
  }
  log.summary();
  const lines = written.join('').split('\n');
  expect(lines.filter((line) => /^Line \d+ is not JSON\.$/.test(line))).toHaveLength(20);
  expect(lines.filter((line) => /^Line (\d+) was imported without \1 of its credentials\.$/.test(line))).toHaveLength(20);
  expect(lines.filter((line) => line.startsWith('Further lines'))).toHaveLength(2);
  expect(lines.filter((line) => / lines, 0 problems$/.test(line))).toEqual(
    [200, 400, 600, 800, 1_000].map((number) => `${number} lines, 0 problems`),
  );
  expect(lines.slice(-4)).toEqual([
    'Problems by kind:',
    '    1000  was imported without N of its credentials.',
    '     500  is not JSON.',
    '',
  ]);
  expect(lines).toHaveLength(20 + 20 + 2 + 5 + 4);
});
