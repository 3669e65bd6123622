import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkRevealReason } from '../../src/domain/reveal-reason.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { newCanary, run } from '../operations.ts';

const test = useTestGateway();
let caller: Caller;
let id: string;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  ({ id } = await test.create(caller, 'Credential', {
    integration: { name: 'crm' },
    name: 'c',
    data: { basicAuth: { username: 'ada', password: 'pa55word' } },
  }));
});

const input = '(input: { credential: $id, field: "password", reason: "the test looks" })';
const PLAIN = '{ ... on RevealSecretSuccess { secret { plaintext } } }';
const revealing = (variables: string, fields: string, rest = '') => `mutation ($id: ID! ${variables}) { ${fields} } ${rest}`;
const a = `a: revealSecret${input} ${PLAIN}`;
const b = `b: revealSecret${input} ${PLAIN}`;
const reveals = () =>
  test.database
    .collection('auditEntries')
    .countDocuments({ organizationId: caller.organization, action: 'revealSecret', outcome: 'SUCCESS' });

describe('one reveal a request', () => {
  const many = Array.from({ length: 19 }, (_, index) => `a${index}: revealSecret${input} ${PLAIN}`).join('\n');
  it.each<[string, string, Record<string, unknown>?]>([
    ['nineteen aliases', revealing('', many)],
    ['two aliases', revealing('', `${a} ${b}`)],
    ['one alias and none', revealing('', `${a} revealSecret${input} ${PLAIN}`)],
    ['a fragment', revealing('', `${a} ...F`, `fragment F on Mutation { ${b} }`)],
    [
      'fragments in fragments',
      revealing('', '...F', `fragment F on Mutation { ${a} ...G } fragment G on Mutation { ... on Mutation { ... { ${b} } } }`),
    ],
    ['a fragment that is first left out', revealing('', `...F @skip(if: true) ...F ${a}`, `fragment F on Mutation { ${b} }`)],
    ['@include of a variable', revealing(', $yes: Boolean!', `${a} ${b.replace(') {', ') @include(if: $yes) {')}`), { yes: true }],
    ['@include of the default of a variable', revealing(', $yes: Boolean = true', `${a} ... @include(if: $yes) { ${b} }`)],
    ['@skip of a variable', revealing(', $no: Boolean = true', `${a} ... @skip(if: $no) { ${b} }`), { no: false }],
    [
      'two operations, of which one is run',
      `${revealing('', a).replace('mutation', 'mutation One')} ${revealing('', `${a} ${b}`).replace('mutation', 'mutation Two')}`,
      { operationName: 'Two' },
    ],
  ])('is all that there is, with %s', async (_, query, { operationName, ...variables } = {}) => {
    const before = await reveals();
    const { status, data, errors, text } = await test.send(
      { query, variables: { id, ...variables }, operationName },
      { authorization: `Bearer ${await test.token(caller)}` },
    );
    expect([status, data, errors?.map(({ extensions }: Json) => extensions)]).toEqual([
      400,
      undefined,
      [{ code: 'LIMIT_EXCEEDED', limit: 'PER_REQUEST', maximum: 1 }],
    ]);
    expect(text).not.toContain('pa55word');
    expect(await reveals()).toBe(before);
  });

  it.each<[string, string, Record<string, unknown>?]>([
    ['alone', revealing('', a)],
    ['the same field twice, which runs once', revealing('', `${a} ${a}`)],
    ['the same fragment twice', revealing('', '...F ...F', `fragment F on Mutation { ${a} }`)],
    ['one that is left out', revealing(', $no: Boolean!', `${a} ... @include(if: $no) { ${b} }`), { no: false }],
    ['another mutation', revealing('', `${a} createIntegration(input: { name: "other" }) { __typename }`)],
  ])('is answered, with %s', async (_, query, variables) => {
    const before = await reveals();
    expect((await test.query(caller, query, { id, ...variables })).a.secret).toEqual({ plaintext: 'pa55word' });
    expect(await reveals()).toBe(before + 1);
  });

  it('the refusal is told to the audit log', async () => {
    const own = { ...caller, claims: { sub: 'greedy' } };
    await test.answer(own, revealing('', `${a} ${b}`), { id });
    await test.gateway.audit.seal();
    const { auditLog } = await test.query(caller, '{ auditLog(subject: "greedy") { nodes { action outcome count } } }');
    expect(auditLog.nodes).toEqual([{ action: 'revealSecret', outcome: 'LIMIT_EXCEEDED', count: 1 }]);
  });
});

const reveal = (reason: string) => run(test, caller, 'revealSecret', { credential: id, field: 'password', reason }, 'plaintext');
const issueOf = (result: Json) => [result.code, result.issues?.map(({ path, message }: Json) => [path.join('.'), message])];

describe('the reason of a reveal', () => {
  const tooShort = [
    'VALIDATION_FAILED',
    [['input.reason', 'must have at least 10 characters, without spaces at its ends and invisible characters']],
  ];
  it.each([
    'x',
    '123456789',
    `  12345678${' '.repeat(30)}`,
    `ab${' '.repeat(50)}cd`,
    `ab${'\n\t'.repeat(20)}cd`,
    '\u200b'.repeat(40),
    `ticket${'\u200d\u2060\ufeff\u00ad\u180e'.repeat(5)}`,
    '\u3164'.repeat(20),
    '\u2800'.repeat(20),
    '\u0301'.repeat(20),
    '\u{e0041}'.repeat(20),
    '\u202e\u2066'.repeat(10),
    '\u00a0\u2003\u3000'.repeat(10),
    '👍'.repeat(5),
  ])('must have ten characters: %j', async (reason) => {
    const before = await reveals();
    expect(issueOf(await reveal(reason))).toEqual(tooShort);
    expect(await reveals()).toBe(before);
  });

  it.each(['1234567890', 'ab cd ef g', ' ticket 4711 ', 'Passwort für Ünal', '調査のため顧客から依頼あり', 'ग्राहक ने अनुरोध किया'])(
    'with ten is taken: %j',
    async (reason) => {
      expect((await reveal(reason)).secret).toEqual({ plaintext: 'pa55word' });
    },
  );
});

describe('with a pattern', () => {
  const pattern = /^[A-Z]+-\d+( .*)?$/;
  beforeAll(() => reopen(pattern));
  afterAll(() => reopen(null));

  it.each(['AB-1', 'AB-1 asked by the customer', ' AB-1\u200b\n'])('a reason that matches is taken: %j', async (reason) => {
    expect((await reveal(reason)).secret).toEqual({ plaintext: 'pa55word' });
  });

  it('another is refused, with the pattern and without the reason', async () => {
    const canary = newCanary();
    const result = await reveal(`because ${canary}`);
    expect(issueOf(result)).toEqual([
      'VALIDATION_FAILED',
      [['input.reason', 'must match the pattern ^[A-Z]+-\\d+( .*)?$, which the operator of the gateway has set']],
    ]);
    expect(JSON.stringify(result)).not.toContain(canary);
  });
});

// 2^490 steps, if nothing ended it. `readConfig` refuses most such patterns; this is for what it does not see.
it('a pattern that takes exponential time is ended, and is not matched', () => {
  for (const slow of [/^(a+)+$/, /^(a|a)*$/g, /^(?=(a+)+$)/y]) {
    expect(() => checkRevealReason(`${'a'.repeat(490)}!`, slow)).toThrow('must match the pattern');
  }
  expect(() => checkRevealReason('aaaa', /^(a+)+$/)).not.toThrow();
});

async function reopen(revealReasonPattern: RegExp | null): Promise<void> {
  await test.close();
  test.policy = { revealReasonPattern };
  await test.open();
}
