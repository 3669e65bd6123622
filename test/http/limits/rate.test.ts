import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressGroup, clientAddress } from '../../../src/http/limits/address.ts';
import { createRateLimiter, type Reserve } from '../../../src/http/limits/rate-limiter.ts';
import { defaultLimits } from '../../../src/limits.ts';
import { type Database, openDatabase } from '../../../src/store/database.ts';
import { NO_ORGANIZATION, rateLimitStore } from '../../../src/store/rate-limit.ts';
import { type Answer, type Caller, TestGateway } from '../../harness.ts';

/** The clock that all copies go by. */
let time = new Date();
const first = new TestGateway();
const second = new TestGateway();
const RATE_LIMIT = 200;
const ANONYMOUS = 40;

beforeAll(async () => {
  first.limits = second.limits = { rateLimit: RATE_LIMIT, organizationRateLimit: 0, anonymousRateLimit: ANONYMOUS };
  first.time = second.time = () => time;
  await first.start();
  Object.assign(second, { uri: first.uri, databaseName: first.databaseName, masterKey: first.masterKey });
  await second.open();
});
afterAll(async () => {
  await second.close();
  await first.stop();
});

/** What costs 1, and sends nothing to the database. */
const CHEAP = '{ __typename }';
const rateCommands = ['findAndModify', 'find', 'update'];
const anyone = (): Caller => ({ organization: first.newOrganization(), scopes: ['all.Organization'] });
const pass = (seconds: number) => {
  time = new Date(time.getTime() + seconds * 1_000);
};
/** Sends until it is refused; answers how often it was not, and the refusal. */
async function untilRefused(send: () => Promise<Answer>, most = 2_000): Promise<{ passed: number; refusal: Answer }> {
  for (let passed = 0; passed < most; passed++) {
    const answer = await send();
    if (answer.status === 429) return { passed, refusal: answer };
  }
  throw new Error('Nothing was refused.');
}

describe('a viewer', () => {
  it('may spend what the limit says, and is told when to come back', async () => {
    const caller = anyone();
    const { passed, refusal } = await untilRefused(() => first.answer(caller, CHEAP));
    expect(passed).toBe(RATE_LIMIT);
    const retryAfter = Number(refusal.headers.get('retry-after'));
    expect(refusal.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(refusal.errors).toEqual([
      {
        message: `The rate limit is exceeded. Retry in ${retryAfter} seconds.`,
        extensions: { code: 'RATE_LIMITED', retryAfter },
      },
    ]);
    expect(refusal.headers.get('ratelimit')).toBe(`"viewer";r=0;t=${retryAfter}`);
    expect(refusal.headers.get('ratelimit-policy')).toBe(`"viewer";q=${RATE_LIMIT};w=60`);
    pass(retryAfter);
    expect((await first.answer(caller, CHEAP)).status).toBe(200);
  });

  it('is told with each answer what it cost and what is left', async () => {
    const caller = anyone();
    const answers = [await first.answer(caller, CHEAP), await first.answer(caller, '{ integrations(first: 10) { nodes { name } } }')];
    const costs = answers.map(({ text }) => JSON.parse(text).extensions.cost);
    expect(costs).toEqual([
      { requested: 1, policy: 'viewer', limit: RATE_LIMIT, remaining: RATE_LIMIT - 1, resetSeconds: expect.any(Number) },
      { requested: 12, policy: 'viewer', limit: RATE_LIMIT, remaining: RATE_LIMIT - 13, resetSeconds: expect.any(Number) },
    ]);
    expect(answers[1]!.headers.get('ratelimit')).toBe(`"viewer";r=${RATE_LIMIT - 13};t=${costs[1].resetSeconds}`);
  });

  it('pays by cost, and is refused before anything is done', async () => {
    const caller = anyone();
    const create = 'mutation ($name: String!) { createIntegration(input: { name: $name }) { __typename } }';
    let number = 0;
    const { passed, refusal } = await untilRefused(() => first.answer(caller, create, { name: `crm-${number++}` }));
    // Each costs 26: 182 of 200.
    expect(passed).toBe(7);
    expect(refusal.data).toBeUndefined();
    expect(JSON.parse(refusal.text).extensions.cost.requested).toBe(26);
    // What is left is enough for something smaller.
    expect((await first.answer(caller, CHEAP)).status).toBe(200);
    pass(60);
    const { integrations } = await first.query(caller, '{ integrations(first: 100) { nodes { name } } }');
    expect(integrations.nodes).toHaveLength(7);
  });

  it('pays for what is no GraphQL, too', async () => {
    const caller = anyone();
    const headers = { authorization: `Bearer ${await first.token(caller)}` };
    const { passed } = await untilRefused(() => first.send({ query: '{ nonsense' }, headers));
    expect(passed).toBe(RATE_LIMIT);
  });

  it('pays for a large body, read or not', async () => {
    const caller = anyone();
    const authorization = `Bearer ${await first.token(caller)}`;
    const answer = await first.send({ query: CHEAP }, { authorization, 'content-length': String(100 * 1024) });
    expect(JSON.parse(answer.text).extensions.cost).toMatchObject({ requested: 101, remaining: RATE_LIMIT - 101 });
    expect((await first.send({ query: CHEAP }, { authorization, 'content-length': String(100 * 1024) })).status).toBe(429);
  });

  it('leaves others alone: of the same organization, and of the same name elsewhere', async () => {
    const caller = anyone();
    await untilRefused(() => first.answer(caller, CHEAP));
    expect((await first.answer({ ...caller, claims: { sub: 'another' } }, CHEAP)).status).toBe(200);
    expect((await first.answer(anyone(), CHEAP)).status).toBe(200);
    // Whatever an operation is called, it is the viewer that pays.
    expect((await first.answer(caller, 'query Another { __typename }')).status).toBe(429);
  });
});

describe('an organization', () => {
  const ORGANIZATION = 2_000;
  const gateway = new TestGateway();
  beforeAll(async () => {
    Object.assign(gateway, { uri: first.uri, databaseName: first.databaseName, masterKey: first.masterKey });
    gateway.limits = { rateLimit: 1_500, organizationRateLimit: ORGANIZATION, anonymousRateLimit: 0 };
    gateway.time = () => time;
    await gateway.open();
  });
  afterAll(() => gateway.close());

  /** A body that costs this many KiB. */
  const spend = (authorization: string, cost: number) =>
    gateway.send({ query: CHEAP }, { authorization, 'content-length': String((cost - 1) * 1_024) });
  const tokenOf = async (organization: string, sub: string) => `Bearer ${await gateway.token({ organization, claims: { sub } })}`;
  /** Spends 100 at a time with each token in turn, until each is refused. */
  async function exhaust(tokens: readonly string[]): Promise<{ spent: number; refusal: Answer }> {
    let spent = 0;
    let refusal: Answer | undefined;
    for (const token of tokens) {
      for (;;) {
        const answer = await spend(token, 100);
        if (answer.status === 429) {
          refusal = answer;
          break;
        }
        spent += 100;
      }
    }
    return { spent, refusal: refusal! };
  }

  it('has a limit that all its viewers share, and is told when it is the closest', async () => {
    const organization = gateway.newOrganization();
    const tokens = await Promise.all(['a', 'b', 'c'].map((sub) => tokenOf(organization, sub)));
    const one = await spend(tokens[0]!, 100);
    expect(JSON.parse(one.text).extensions.cost).toMatchObject({ policy: 'viewer', limit: 1_500, remaining: 1_400 });
    const { spent, refusal } = await exhaust(tokens);
    expect(spent).toBe(ORGANIZATION - 100);
    expect(refusal.headers.get('ratelimit-policy')).toBe(`"organization";q=${ORGANIZATION};w=60`);
    expect(refusal.headers.get('ratelimit')).toMatch(/^"organization";r=0;t=\d+$/);
    expect((await spend(await tokenOf(gateway.newOrganization(), 'a'), 100)).status).toBe(200);
  });

  it('leaves half of it to its services, whatever its end users do', async () => {
    const caller = { organization: gateway.newOrganization() };
    const { id } = await gateway.create(caller, 'Integration', { name: 'crm' });
    const tokens: string[] = [];
    for (const externalId of ['ada', 'bob', 'eve']) {
      const endUser = { id: (await gateway.create(caller, 'EndUser', { integration: { id }, externalId })).id };
      tokens.push(`Bearer ${await gateway.makeEndUserToken(caller, endUser)}`);
    }
    pass(60);
    const { spent, refusal } = await exhaust(tokens);
    expect(spent).toBe(ORGANIZATION / 2);
    expect(refusal.headers.get('ratelimit-policy')).toBe(`"endUsers";q=${ORGANIZATION / 2};w=60`);
    const services = await Promise.all(['a', 'b'].map((sub) => tokenOf(caller.organization, sub)));
    expect((await exhaust(services)).spent).toBe(ORGANIZATION / 2);
  });

  it('does not pay for a viewer who is refused', async () => {
    const organization = gateway.newOrganization();
    const [greedy, other] = (await Promise.all(['a', 'b'].map((sub) => tokenOf(organization, sub)))) as [string, string];
    expect((await exhaust([greedy])).spent).toBe(1_500);
    for (let round = 0; round < 20; round++) expect((await spend(greedy, 100)).status).toBe(429);
    expect((await exhaust([other])).spent).toBe(500);
  });

  it('causes no command of the database for most requests', async () => {
    const organization = gateway.newOrganization();
    const token = await tokenOf(organization, 'a');
    await spend(token, 1);
    expect(await gateway.countCommands(() => Promise.all(Array.from({ length: 9 }, () => spend(token, 1))))).toEqual([]);
  });
});

describe('two copies on one database', () => {
  // At most the limit, and less at worst by the unspent rest of a share for each copy.
  it('share one limit', async () => {
    const caller = anyone();
    const token = `Bearer ${await first.token(caller)}`;
    const send = (test: TestGateway) => test.send({ query: CHEAP }, { authorization: token });
    let passed = 0;
    for (let round = 0; round < 15; round++) {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => send(index % 2 === 0 ? first : second)));
      passed += answers.filter(({ status }) => status === 200).length;
    }
    expect(passed).toBeLessThanOrEqual(RATE_LIMIT);
    expect(passed).toBeGreaterThanOrEqual(RATE_LIMIT - 2 * (RATE_LIMIT / 20));
  });

  it('write once for each share, not for each request', async () => {
    const caller = anyone();
    const token = `Bearer ${await first.token(caller)}`;
    const send = () => first.send({ query: CHEAP }, { authorization: token });
    // The first of a window begins it.
    expect(await first.countCommands(send)).toEqual(rateCommands);
    expect(await first.countCommands(() => Promise.all(Array.from({ length: 9 }, send)))).toEqual([]);
    expect(await first.countCommands(() => Promise.all(Array.from({ length: 10 }, send)))).toEqual(['findAndModify']);
    expect(await first.countCommands(() => untilRefused(send))).toEqual(Array(20 - 2).fill('findAndModify'));
    // Who is refused costs nothing any more.
    expect(await first.countCommands(send)).toEqual([]);
  });
});

describe('who has no good token', () => {
  const anonymous = (headers: Record<string, string> = {}) => first.send({ query: CHEAP }, headers);

  it('is limited by address, whatever it says of itself, and shuts out nobody', async () => {
    const { passed, refusal } = await untilRefused(() =>
      anonymous({ 'x-forwarded-for': `203.0.113.${time.getTime() % 200}`, authorization: 'Bearer x' }),
    );
    expect(passed).toBe(ANONYMOUS);
    expect(refusal.errors![0].extensions).toEqual({ code: 'RATE_LIMITED', retryAfter: Number(refusal.headers.get('retry-after')) });
    expect(refusal.headers.get('ratelimit')).toMatch(/^"address";r=0;t=\d+$/);
    expect((await first.answer(anyone(), CHEAP)).status).toBe(200);
    pass(60);
  });

  it('causes no write until it was refused a few times', async () => {
    pass(60);
    expect(await first.countCommands(() => anonymous())).toEqual([]);
    expect((await anonymous()).status).toBe(401);
    expect((await first.countCommands(() => anonymous())).every((name) => rateCommands.includes(name))).toBe(true);
  });
});

describe('guesses', () => {
  const guess = (organization: string) => `Bearer cgk_${organization}.${'0'.repeat(24)}.${randomBytes(32).toString('base64url')}`;
  const send = (authorization: string) => first.send({ query: CHEAP }, { authorization });
  const reads = (commands: readonly string[]) => commands.filter((name) => name === 'find').length;

  it('of API keys cause no more reads than the address may send requests, also all at once', async () => {
    pass(60);
    const { organization } = anyone();
    const answers: Answer[] = [];
    const commands = await first.countCommands(async () => {
      answers.push(...(await Promise.all(Array.from({ length: 300 }, () => send(guess(organization))))));
    });
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(ANONYMOUS);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(300 - ANONYMOUS);
    // Those of the rate limit itself, and one for each guess.
    expect(reads(commands)).toBeLessThanOrEqual(ANONYMOUS + 5);
    expect(await first.countCommands(() => send(guess(organization)))).toEqual([]);
  });

  it('of a key that was refused cause no read', async () => {
    pass(60);
    const again = guess(anyone().organization);
    expect((await send(again)).status).toBe(401);
    expect(await first.countCommands(async () => expect((await send(again)).status).toBe(401))).toEqual([]);
  });

  it('do not lock out a key that was accepted before, and a revoked one is refused at once', async () => {
    pass(60);
    const caller = { organization: first.newOrganization() };
    const { id, key } = await first.makeAPIKey(caller, { scopes: ['credentials.get'] });
    for (let index = 0; index < 2 * ANONYMOUS; index++) expect((await send(`Bearer ${key}`)).status).toBe(200);
    await untilRefused(() => send(guess(caller.organization)));
    expect((await send(`Bearer ${key}`)).status).toBe(200);
    await first.query(caller, `mutation { revokeAPIKey(input: { apiKey: "${id}" }) { __typename } }`);
    pass(60);
    expect((await send(`Bearer ${key}`)).status).toBe(401);
  });
});

describe('addresses', () => {
  const headers = (forwarded: string) => (forwarded ? { 'x-forwarded-for': forwarded } : {});
  it.each([
    ['the socket’s, when no proxy is trusted', 0, '198.51.100.7', '203.0.113.9', '198.51.100.7'],
    ['what the one proxy saw, not what the client wrote', 1, '10.0.0.1', '6.6.6.6, 203.0.113.9', '203.0.113.9'],
    ['what the outer of two proxies saw', 2, '10.0.0.1', '6.6.6.6, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['the socket’s, when the proxy says nothing', 1, '10.0.0.1', '', '10.0.0.1'],
    ['the socket’s, when the entry is no address', 1, '10.0.0.1', 'canary', '10.0.0.1'],
    ['an IPv4 one in IPv6', 0, '::ffff:198.51.100.7', '', '198.51.100.7'],
  ])('are %s', (_what, proxies, socket, forwarded, expected) => {
    expect(clientAddress(socket, headers(forwarded), proxies)).toBe(expected);
  });

  it('count as one within an IPv6 network of a customer', () => {
    expect(addressGroup('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(addressGroup('2001:db8:1:2::1')).toBe('2001:db8:1:2::/64');
    expect(addressGroup('2001:0db8::1')).toBe('2001:db8:0:0::/64');
    expect(addressGroup('::1')).toBe('0:0:0:0::/64');
    expect(addressGroup('198.51.100.7')).toBe('198.51.100.7');
  });
});

describe('a limiter', () => {
  const limiter = (reserve: Reserve, limit = 100) => {
    const failures: unknown[] = [];
    const { spend } = createRateLimiter({ policy: 'p', limit, reserve, now: () => time, onFailure: (error) => failures.push(error) });
    return { spend: async (spender: string, cost: number) => (await spend('o', spender, cost))?.allowed, failures };
  };

  // Neither open nor shut: one share of the window for each spender.
  it('lends one share while the database does not answer, and goes on when it does', async () => {
    let isDown = true;
    const { spend, failures } = limiter(async (_organization, _key, _window, { share, limit }) => {
      if (isDown) throw new Error('down');
      return { granted: share, left: limit - share };
    });
    for (let index = 0; index < 5; index++) expect(await spend('a', 1)).toBe(true);
    expect(failures).toHaveLength(1);
    expect(await spend('a', 1)).toBe(false);
    isDown = false;
    expect(await spend('a', 1)).toBe(true);
    isDown = true;
    pass(60);
    expect(await spend('a', 1)).toBe(true);
  });

  it('gives back what was spent', async () => {
    const { spend } = createRateLimiter({
      policy: 'p',
      limit: 10,
      reserve: async (_organization, _key, _window, { share, limit }) => ({ granted: share, left: limit - share }),
      now: () => time,
      onFailure: () => {},
    });
    const quota = await spend('o', 'a', 10);
    expect(quota?.allowed).toBe(true);
    const refused = await spend('o', 'a', 1);
    refused?.refund();
    expect((await spend('o', 'a', 1))?.allowed).toBe(false);
    quota?.refund();
    expect((await spend('o', 'a', 10))?.allowed).toBe(true);
  });

  it('is off when its limit is 0', async () => {
    const { spend } = limiter(async () => expect.unreachable(), 0);
    expect(await spend('a', 1e9)).toBeUndefined();
  });

  it('asks for what one operation needs, when that is more than a share', async () => {
    const { spend } = limiter(async (_organization, _key, _window, { least, share, limit }) => {
      expect([least, share]).toEqual([60, 60]);
      return { granted: share, left: limit - share };
    });
    expect(await spend('a', 60)).toBe(true);
    expect(await spend('a', 60)).toBe(false);
  });

  it('remembers ten thousand spenders, and forgets the one that was idle longest', async () => {
    let reservations = 0;
    const { spend } = limiter(async (_organization, _key, _window, { share, limit }) => {
      reservations++;
      return { granted: share, left: limit - share };
    });
    for (let index = 0; index < 10_000; index++) await spend(`spender ${index}`, 1);
    await spend('spender 0', 1);
    expect(reservations).toBe(10_000);
    await spend('one more', 1);
    await spend('spender 0', 1);
    expect(reservations).toBe(10_001);
    await spend('spender 1', 1);
    expect(reservations).toBe(10_002);
  });
});

describe('in the database', () => {
  let database: Database;
  let store: ReturnType<typeof rateLimitStore>;
  beforeAll(async () => {
    database = await openDatabase({ uri: first.uri, name: first.databaseName });
    store = rateLimitStore(database);
  });
  afterAll(() => database.connection.close());
  const documents = (organizationId: string) => database.connection.collection('rateLimits').find({ organizationId }).toArray();

  it('fifty copies that reserve at once get the limit and no more, from one document', async () => {
    const organization = first.newOrganization();
    const reserve = (window: number, share: number) =>
      store.reserve(organization, 'k', window, { least: 1, share, limit: 100 }).catch(() => ({ granted: 0, left: 0 }));
    for (const window of [7, 8]) {
      const granted = (await Promise.all(Array.from({ length: 50 }, () => reserve(window, 7)))).map((each) => each.granted);
      expect(granted.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(100);
      expect((await reserve(window, 7)).granted + granted.reduce((sum, each) => sum + each, 0)).toBeGreaterThanOrEqual(98);
      expect(await documents(organization)).toMatchObject([{ window, key: 'k' }]);
    }
  });

  it('a copy whose clock is late spends from the window that has begun', async () => {
    const organization = first.newOrganization();
    const amounts = { least: 1, share: 5, limit: 100 };
    expect(await store.reserve(organization, 'k', 8, amounts)).toEqual({ granted: 5, left: 95 });
    expect(await store.reserve(organization, 'k', 7, amounts)).toEqual({ granted: 5, left: 90 });
  });

  it('what belongs to ended windows is deleted, and the rest kept', async () => {
    const organization = first.newOrganization();
    for (const [key, window] of [
      ['old', 3],
      ['new', 5],
    ] as const) {
      await store.reserve(organization, key, window, { least: 1, share: 5, limit: 100 });
      await store.reserve(NO_ORGANIZATION, key, window, { least: 1, share: 5, limit: 100 });
    }
    expect(await store.sweep(5)).toBeGreaterThanOrEqual(2);
    expect(await documents(organization)).toMatchObject([{ key: 'new' }]);
    expect(await documents(NO_ORGANIZATION)).not.toContainEqual(expect.objectContaining({ key: 'old' }));
  });

  it('no name, address or token is kept', async () => {
    await first.answer({ ...anyone(), claims: { sub: 'canary-subject' } }, CHEAP);
    const all = await database.connection.collection('rateLimits').find({}).toArray();
    expect(all.length).toBeGreaterThan(0);
    expect(JSON.stringify(all)).not.toContain('canary');
    for (const { key } of all) expect(key).toMatch(/^(k|old|new|[\w-]{43})$/);
  });
});

it('has defaults that let a front end work', () => {
  // Pages of twenty connections with all that hangs on them, a minute.
  expect(defaultLimits.rateLimit / (20 * 83)).toBeGreaterThan(150);
});
