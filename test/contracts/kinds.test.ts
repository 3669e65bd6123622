import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { BSON } from 'mongodb';
import { beforeAll, describe, expect, it } from 'vitest';
import { grantableScopes } from '../../src/access/scopes.ts';
import { outputType } from '../../src/credential-kinds/consistency.ts';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import { exampleData } from '../credential-kinds/examples.ts';
import { contents } from '../database.ts';
import type { Answer, Json } from '../harness.ts';
import { credentialKinds, kindOf } from '../kinds.ts';
import { useTestGateway } from './answers.ts';
import { type Planted, plant } from './plant.ts';

// Every kind of credential keeps the same promises, from its descriptor alone.

const test = useTestGateway();
const caller = { organization: 'kinds' };
const integration = { name: 'crm' };
const kinds = credentialKinds.filter(({ refusal }) => !refusal).map((kind) => [kind.kind, kind] as const);
const refused = credentialKinds.filter(({ refusal }) => refusal);
/** Every canary that was planted, and where. All of them are looked for everywhere, at the end. */
const planted = new Map<string, string>();

beforeAll(async () => {
  await test.create(caller, 'Integration', integration);
});

const readAs = (kind: CredentialKind) => (kind.storedAs ? kindOf(kind.storedAs)! : kind);
const secretsOf = (kind: CredentialKind) => Object.keys(kind.fields).filter((name) => kind.fields[name]!.secret);

/** Selects everything of a kind. */
function selectionOf(kind: CredentialKind): string {
  const fields = Object.entries(kind.fields).map(([name, { secret }]) =>
    secret ? `${name} { isSet redacted fingerprint sealedAt }` : name,
  );
  const facts = Object.entries(kind.facts ?? {}).map(([name, { type }]) =>
    typeof type === 'object' ? `${name} { ${Object.keys(type.members).join(' ')} }` : name,
  );
  const generic = 'fields { name type value secret { isSet redacted fingerprint sealedAt } } facts { name type value }';
  return `__typename ... on CredentialBase { id version name kind enabled errors ${generic} } ... on ${kind.typeName} { ${[...fields, ...facts, '__typename'].join(' ')} }`;
}

/** The examples of a kind, each secret a fresh one. */
function dataOf(kind: CredentialKind): { data: Record<string, unknown>; secrets: Record<string, Planted> } {
  const secrets = Object.fromEntries(secretsOf(kind).map((name) => [name, planting(kind, name)]));
  const values = Object.fromEntries(Object.entries(secrets).map(([name, { value }]) => [name, value]));
  return { data: { ...exampleData(kind), ...values }, secrets };
}
function planting(kind: CredentialKind, name: string): Planted {
  const made = plant(kind, name, kind.fields[name]!);
  for (const canary of made.canaries) planted.set(canary, `${kind.kind}.${name}`);
  return made;
}

/** Nothing of what is secret is in an answer, nor in its headers. */
function expectNoCanary({ text, headers }: Answer, what: string): void {
  const all = `${text}\n${JSON.stringify([...headers])}`;
  for (const [canary, at] of planted) if (all.includes(canary)) throw new Error(`${what} shows what was planted in ${at}.`);
}

async function quietly(query: string, variables: object, scopes?: readonly string[]): Promise<Json> {
  const answer = await test.answer({ ...caller, ...(scopes && { scopes }) }, query, variables);
  expectNoCanary(answer, query);
  expect(answer.errors, answer.text).toBeUndefined();
  return answer.data;
}

async function create(kind: CredentialKind, data: object): Promise<Json> {
  const query = `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) {
    ... on CreateCredentialSuccess { credential { ${selectionOf(readAs(kind))} } } ... on MutationError { code message } } }`;
  const { result } = await quietly(query, { input: { integration, name: kind.kind, data: { [kind.kind]: data } } });
  if (!result.credential) throw new Error(`${kind.kind}: ${result.message}`);
  return result.credential;
}

async function update(kind: CredentialKind, id: string, data: object): Promise<Json> {
  const query = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) {
    ... on UpdateCredentialSuccess { credential { ${selectionOf(kind)} } } ... on MutationError { code message } } }`;
  return (await quietly(query, { input: { credential: id, data: { [kind.kind]: data } } })).result;
}

async function read(kind: CredentialKind, id: string): Promise<Json> {
  return (await quietly(`query ($id: ID!) { credential(id: $id) { ${selectionOf(kind)} } }`, { id })).credential;
}

const REVEAL = `mutation ($id: ID!, $field: String!) { result: revealSecret(input: { credential: $id, field: $field, reason: "the test looks" }) {
  __typename ... on RevealSecretSuccess { secret { credentialId field plaintext } } ... on MutationError { code message } } }`;

/** What is read of a field whose value was sent: times as RFC 3339 says, all else as it was. */
const readBack = (value: unknown) => value ?? null;

describe.each(kinds)('%s', (_, kind) => {
  const stored = readAs(kind);
  const secrets = secretsOf(stored);
  let id: string;
  let sent: ReturnType<typeof dataOf>;
  let made: Json;
  beforeAll(async () => {
    sent = dataOf(kind);
    made = await create(kind, sent.data);
    id = made.id;
  });

  it('is read back as it was sent, secrets as *****', async () => {
    expect(made).toEqual(await read(stored, id));
    expect(made).toMatchObject({ __typename: stored.typeName, version: 1, name: kind.kind, enabled: true });
    // The examples of one test have keys that belong to no certificate.
    expect([null, ['The private key does not belong to the certificate.']]).toContainEqual(made.errors);
    for (const [name, field] of Object.entries(stored.fields)) {
      const isSent = name in sent.data && stored === kind;
      if (!field.secret)
        expect([name, made[name]]).toEqual([name, isSent ? readBack(sent.data[name]) : outputType(field) === '[String]' ? [] : null]);
      else if (!isSent) expect([name, made[name]]).toEqual([name, { isSet: false, redacted: '*****', fingerprint: null, sealedAt: null }]);
      else {
        expect([name, made[name]]).toEqual([
          name,
          { isSet: true, redacted: '*****', fingerprint: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/), sealedAt: expect.any(String) },
        ]);
      }
    }
    for (const name of Object.keys(kind.facts ?? {})) expect(made).toHaveProperty(name);
  });

  it('is read without its type as by its type, and has no secret among the values', async () => {
    const { credentialKinds: described } = await quietly(
      '{ credentialKinds { kind fields { name type isSecret } facts { name type } } }',
      {},
    );
    const info = described.find((each: Json) => each.kind === made.kind);
    const { fields, facts } = made as Record<'fields' | 'facts', Json[]>;
    // Whoever has the descriptions finds that of each.
    expect(fields.map(({ name, type, secret }) => ({ name, type, isSecret: secret !== null }))).toEqual(info.fields);
    expect(facts.map(({ name, type }) => ({ name, type }))).toEqual(info.facts);
    for (const { name, value, secret } of fields) {
      expect([name, value, secret]).toEqual([name, ...(stored.fields[name]!.secret ? [null, made[name]] : [made[name], null])]);
    }
    for (const { name, value } of facts) {
      const [fact, member] = name.split('.') as [string, string?];
      expect([name, value]).toEqual([name, (member ? made[fact]?.[member] : made[fact]) ?? null]);
    }
    expect(Object.keys(stored.facts ?? {})).toEqual([...new Set(facts.map(({ name }) => name.split('.')[0]))]);
    // A fingerprint has a scope of its own here, too.
    const query = `query ($id: ID!) { credential(id: $id) { ${selectionOf(stored)} } }`;
    const { credential } = await quietly(query, { id }, ['credentials.get']);
    expect(credential.fields.flatMap(({ secret }: Json) => secret?.fingerprint ?? [])).toEqual([]);
    expect(credential.fields.map(({ secret }: Json) => secret?.isSet)).toEqual(fields.map(({ secret }) => secret?.isSet));
    const refusal = await test.answer({ ...caller, scopes: ['connections.get'] }, query, { id });
    expect(refusal.errors!.map(({ extensions }) => extensions)).toMatchObject([{ code: 'FORBIDDEN', scope: 'credentials.get' }]);
  });

  it('shows no secret in any read: by id, as a node, in lists, through an end user', async () => {
    const selection = selectionOf(stored);
    await quietly(`query ($id: ID!) { node(id: $id) { ${selection} } nodes(ids: [$id]) { ${selection} } }`, { id });
    // Two operations: everything of a hundred credentials twice costs too much for one.
    await quietly(`{ credentials(first: 100) { nodes { ${selection} } pageInfo { endCursor } } }`, {});
    await quietly(`{ credentials(first: 100) { edges { cursor node { ${selection} } } } }`, {});
    await quietly(
      'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { description usages { nodes { id } } integration { name } } } }',
      { id },
    );
  });

  if (stored !== kind) return;

  it('changes one field at a time, and nothing beside it', async () => {
    let before = await read(kind, id);
    for (const [name, field] of Object.entries(kind.fields)) {
      const value = field.secret ? planting(kind, name).value : field.example;
      const { credential, message } = await update(kind, id, { [name]: value });
      expect([name, message]).toEqual([name, undefined]);
      // A value that is stored already is no change; a secret always is.
      const isChange = field.secret || !isDeepStrictEqual(before[name], value);
      expect([name, credential.version]).toEqual([name, before.version + Number(isChange)]);
      for (const other of Object.keys(kind.fields)) {
        if (other !== name) expect([name, other, credential[other]]).toEqual([name, other, before[other]]);
      }
      if (field.secret) {
        expect(credential[name]).toMatchObject({ isSet: true, redacted: '*****' });
        expect(credential[name].fingerprint).not.toBe(before[name].fingerprint);
        sent = { ...sent, secrets: { ...sent.secrets, [name]: { value: value as string, canaries: [] } } };
      } else expect(credential[name]).toEqual(value);
      expect(await read(kind, id)).toEqual(credential);
      before = credential;
    }
  });

  // Equal for equal, so that one sees whether a rotation took.
  it('has the same fingerprint for the same secret, and another for another', async () => {
    const twin = await create(kind, { ...sent.data, ...Object.fromEntries(secrets.map((name) => [name, sent.secrets[name]!.value])) });
    const own = await read(kind, id);
    for (const name of secrets) expect([name, twin[name].fingerprint]).toEqual([name, own[name].fingerprint]);
  });

  it('gives each secret to whoever may have it, and to nobody else', async () => {
    for (const field of secrets) {
      const { data, headers } = await test.answer(caller, REVEAL, { id, field });
      expect(data.result).toEqual({
        __typename: 'RevealSecretSuccess',
        secret: { credentialId: id, field, plaintext: sent.secrets[field]!.value },
      });
      expect(headers.get('cache-control')).toBe('no-store');
      for (const scopes of [
        ['all.Organization', 'credentials.*', 'credentials.fingerprint'],
        grantableScopes.filter((scope) => scope !== 'credentials.reveal'),
      ]) {
        const refused = await test.answer({ ...caller, scopes }, REVEAL, { id, field });
        expectNoCanary(refused, 'A refused reveal');
        expect(refused.errors!.map(({ extensions }) => extensions)).toEqual([{ code: 'FORBIDDEN', scope: 'credentials.reveal' }]);
      }
    }
    for (const field of [
      '',
      'nothing',
      '__proto__',
      'constructor',
      'sealed',
      ...Object.keys(kind.fields).filter((name) => !kind.fields[name]!.secret),
    ]) {
      const { data } = await test.answer(caller, REVEAL, { id, field });
      expect(data.result).toMatchObject({ __typename: 'ValidationError', code: 'VALIDATION_FAILED' });
    }
  });

  it('clears what is optional, one by one, and nothing beside it', async () => {
    const { id: own } = await create(kind, dataOf(kind).data);
    for (const [name, field] of Object.entries(kind.fields)) {
      const before = await read(kind, own);
      const { credential, code, message } = await update(kind, own, { [name]: null });
      if (!credential) {
        // Not optional, or one of two of which the kind needs one, or the token of a temporary key.
        expect([name, code, message]).toEqual([
          name,
          'VALIDATION_FAILED',
          expect.stringContaining(`input.data.${kind.kind}.${name}: cannot be cleared`),
        ]);
        expect(field.optional === true && kind.generate?.field !== name && name !== 'sessionToken').toBe(false);
        expect(await read(kind, own)).toEqual(before);
        continue;
      }
      expect(field.optional).toBe(true);
      for (const other of Object.keys(kind.fields))
        if (other !== name) expect([name, other, credential[other]]).toEqual([name, other, before[other]]);
      if (!field.secret) expect(credential[name]).toEqual(field.type === 'StringList' ? [] : null);
      else {
        expect(credential[name]).toEqual({ isSet: false, redacted: '*****', fingerprint: null, sealedAt: null });
        expect((await test.query(caller, REVEAL, { id: own, field: name })).result).toMatchObject({ code: 'NOT_FOUND' });
        expect(await test.database.collection('secrets').countDocuments({ credentialId: recordId(own), field: name })).toBe(0);
      }
    }
  });

  it('refuses each invalid example without repeating it', async () => {
    for (const [name, field] of Object.entries(kind.fields)) {
      if (!field.secret || typeof field.invalidExample !== 'string' || field.invalidExample.length < 4) continue;
      const answer = await test.answer(
        caller,
        'mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { ... on ValidationError { code message issues { path message } } } }',
        { input: { credential: id, data: { [kind.kind]: { [name]: field.invalidExample } } } },
      );
      expect(answer.data.result.code).toBe('VALIDATION_FAILED');
      expect(answer.data.result.issues[0].path).toEqual(['input', 'data', kind.kind, name]);
      expect(answer.text).not.toContain(JSON.stringify(field.invalidExample).slice(1, -1));
    }
  });
});

// A secret that is sealed and can neither be used nor shown is lost.
it.each(refused.map((kind) => [kind.kind, kind] as const))(
  '%s is refused with its reason, and nothing of it is stored',
  async (_, kind) => {
    const count = () => test.database.collection('secrets').countDocuments();
    const before = await count();
    const { data, secrets } = dataOf(kind);
    const query = `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) { __typename ... on ValidationError { issues { path message } } } }`;
    const { result } = await quietly(query, { input: { integration, name: kind.kind, data: { [kind.kind]: data } } });
    expect(Object.keys(secrets).length).toBeGreaterThan(0);
    expect(result).toEqual({ __typename: 'ValidationError', issues: [{ path: ['input', 'data', kind.kind], message: kind.refusal }] });
    expect(await count()).toBe(before);
    const { credentialKinds: told } = await quietly('query ($names: [String!]) { credentialKinds(names: $names) { refusal } }', {
      names: [kind.kind, 'basicAuth'],
    });
    expect(told.map(({ refusal }: Json) => refusal).toSorted()).toEqual([kind.refusal, null]);
  },
);

const recordId = (id: string) => Buffer.from(id, 'base64url').toString().split(':')[1]!;

// After all that: what is kept, and what was logged, holds none of it. The tests above have planted everything that is looked for here.
describe('the canaries are nowhere', () => {
  it('there are many', () => {
    expect(planted.size).toBeGreaterThan(60);
  });

  it('not in the log', () => {
    const log = test.logs.join('\n');
    expect(log.length).toBeGreaterThan(1_000);
    for (const [canary, at] of planted) expect([at, log.includes(canary)]).toEqual([at, false]);
  });

  it('not in any document of any collection, as JSON or as bytes', async () => {
    const collections = await test.database.listCollections({}, { nameOnly: true }).toArray();
    let bytes = 0;
    for (const { name } of collections) {
      const documents = await test.database.collection(name).find({}).toArray();
      const text = JSON.stringify(documents);
      const raw = Buffer.concat(documents.map((document) => BSON.serialize(document)));
      bytes += raw.length;
      for (const [canary, at] of planted) {
        for (const form of formsOf(canary)) {
          if (text.includes(form) || raw.includes(form)) throw new Error(`${name} holds what was planted in ${at}.`);
        }
      }
    }
    expect(bytes).toBeGreaterThan(50_000);
  });

  it('not in the files of the embedded database', () => {
    if (!test.directory) return;
    const files = readdirSync(test.directory, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    const all = Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
    expect(all.includes(Buffer.from('basicAuth'))).toBe(true);
    for (const [canary, at] of planted) {
      for (const form of formsOf(canary)) if (all.includes(form)) throw new Error(`The database's files hold what was planted in ${at}.`);
    }
  });

  // A search that finds nothing proves nothing unless it can find.
  it('the search finds what is there', async () => {
    const canary = 'canary-that-is-shown';
    await test.create(caller, 'Credential', {
      integration,
      name: `x ${Buffer.from(`..${canary}..`).toString('base64')}`,
      data: { none: {} },
    });
    const text = JSON.stringify(await contents(test));
    expect(formsOf(canary).some((form) => text.includes(form))).toBe(true);
  });
});

/** A text, and what base64 and hexadecimal make of it wherever in a longer one it stands. */
function formsOf(canary: string): string[] {
  const encoded = [0, 1, 2].map((shift) => {
    const text = Buffer.from(`${'x'.repeat(shift)}${canary}`)
      .toString('base64')
      .replace(/=+$/, '');
    return text.slice(shift === 0 ? 0 : 4, -2);
  });
  const urlForms = encoded.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'));
  return [...new Set([canary, ...encoded, ...urlForms, Buffer.from(canary).toString('hex')])];
}
