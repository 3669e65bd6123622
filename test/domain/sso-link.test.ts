import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { contents } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { expectNoTrace, run, send, sendAll } from '../operations.ts';
import {
  account,
  addConnection,
  ask,
  contactTypes,
  integration,
  link,
  linkFields,
  mailOf,
  maySignFor,
  newSharedSecret,
  openAccount,
  partOf,
  tokenOf,
  verify,
} from './sso-account.ts';
import { zendeskAccount } from './zendesk.ts';

const test = useTestGateway();
const query = `mutation ($endUser: EndUserRef!) { createSSOLink(input: { endUser: $endUser, contactType: BILLING }) {
  __typename ... on CreateSSOLinkSuccess { ssoLink { jti } } ... on MutationError { code message } } }`;

describe('what is asked', () => {
  it('H1, H14: it is one mutation, so that no address can mint', async () => {
    const { caller } = await openAccount(test);
    const headers = { authorization: `Bearer ${await test.token(caller)}` };
    const get = (text: string) =>
      test.gateway.fetch(new Request(`http://gateway.test/graphql?${new URLSearchParams({ query: text })}`, { headers }));
    const mutation = await get(
      `mutation { createSSOLink(input: { endUser: { inIntegration: { integration: { name: "hosting" }, externalId: "account-1" } }, contactType: BILLING }) { __typename } }`,
    );
    expect(mutation.status).toBe(405);
    const asQuery = await get('{ createSSOLink(input: { contactType: BILLING }) { __typename } }');
    expect((await asQuery.json()).errors[0].extensions.code).toBe('GRAPHQL_VALIDATION_FAILED');
    expect(await test.database.collection('ssoLinks').countDocuments({ organizationId: caller.organization })).toBe(0);
  });

  it('H2: an account is told by its own id, or by the gateway’s', async () => {
    const { caller, endUser } = await openAccount(test);
    expect((await link(test, caller, { endUser: account })).claims.email).toBe('billing@example.com');
    expect((await link(test, caller, { endUser: { id: endUser } })).claims.email).toBe('billing@example.com');
  });

  it('H3: there is a link for each of four contacts, and for one only', async () => {
    const { caller } = await openAccount(test, contactTypes);
    for (const contactType of contactTypes) {
      const { claims } = await link(test, caller, { contactType });
      expect(claims).toMatchObject({ email: mailOf(contactType), name: `The ${contactType} one` });
    }
  });

  it('H3: there is no fifth type, and no link for two at once', async () => {
    const { caller } = await openAccount(test);
    for (const contactType of ['SALES', ['BILLING', 'TECHNICAL']]) {
      const text = query.replace('$endUser: EndUserRef!', '$endUser: EndUserRef!, $type: ContactType!').replace('BILLING', '$type');
      const { status, errors } = await test.answer(caller, text, { endUser: account, type: contactType });
      expect({ status, path: errors?.[0].extensions.path }).toEqual({ status: 400, path: ['$type'] });
    }
  });

  it('H4: what is presented is the client application’s token, and whom it names is not signed in', async () => {
    const { caller } = await openAccount(test);
    const { claims, ...rest } = await link(test, { ...caller, claims: { sub: 'the-application', email: 'app@example.com' } });
    expect(claims.email).toBe('billing@example.com');
    expect(JSON.stringify(rest) + JSON.stringify(partOf(tokenOf(rest), 1))).not.toMatch(/the-application|app@example/);
  });
});

describe('what is answered', () => {
  it('H5, H7, H21: a form to post to the account, by the names that Zendesk asks for', async () => {
    const { caller } = await openAccount(test);
    const { form } = await link(test, caller);
    expect(form).toEqual({
      action: 'https://acme.zendesk.com/access/jwt',
      method: 'POST',
      fields: [{ name: 'jwt', value: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]{43}$/) }],
    });
  });

  it('H6: links, of which self names this link’s contact, the same each time, and holds no token', async () => {
    const { caller, endUser } = await openAccount(test);
    const first = await link(test, caller);
    const path = `/endUsers/${endUser}/contacts/billing/supportSSOLink/`;
    expect(first.links).toEqual([{ rel: 'self', href: expect.stringMatching(new RegExp(`^/graphql\\?query=[^#]*#${path}$`)) }]);
    // It leads to the contact, for who may read it.
    const read = async (scopes: string[]) => {
      const headers = { authorization: `Bearer ${await test.token({ ...caller, scopes })}` };
      return (await test.gateway.fetch(new Request(new URL(first.links[0].href, 'http://gateway.test'), { headers }))).json() as Json;
    };
    const { data } = await read(['endUsers.get']);
    expect(data.endUser).toMatchObject({ id: endUser, contacts: expect.arrayContaining([expect.objectContaining({ type: 'BILLING' })]) });
    expect((await read(['ssoLinks.post'])).data?.endUser ?? null).toBeNull();
    expect((await link(test, caller)).links).toEqual(first.links);
    expect((await link(test, caller, { contactType: 'TECHNICAL' })).links[0].href).toContain('/contacts/technical/');
  });

  it('H5, H7: the older address, when it is asked for', async () => {
    const { caller, sharedSecret } = await openAccount(test);
    const returnTo = '/hc/requests?a=b&c=d';
    const { form, url } = await link(test, caller, { returnTo }, 'url form { fields { name value } }');
    const { origin, pathname, searchParams, hash } = new URL(url);
    expect({ origin, pathname, hash }).toEqual({ origin: 'https://acme.zendesk.com', pathname: '/access/jwt', hash: '' });
    expect([...searchParams]).toEqual([
      ['jwt', tokenOf({ form })],
      ['return_to', returnTo],
    ]);
    expect(zendeskAccount(sharedSecret)(searchParams.get('jwt')!)).toHaveProperty('claims');
  });

  it('H14: each is minted anew: another jti, another token, at once as well', async () => {
    const { caller } = await openAccount(test);
    const links = await Promise.all(Array.from({ length: 8 }, () => link(test, caller)));
    expect(new Set(links.map(({ jti }) => jti)).size).toBe(8);
    expect(new Set(links.map(tokenOf)).size).toBe(8);
    const stored = await test.database.collection('ssoLinks').find({ organizationId: caller.organization }).toArray();
    expect(stored.map(({ jti }) => jti).sort()).toEqual(links.map(({ jti }) => jti).sort());
  });

  it('H14: it is a bearer secret: not cached, not logged, not kept', async () => {
    const { caller, sharedSecret } = await openAccount(test);
    const logsBefore = test.logs.length;
    const answer = await send(test, caller, 'createSSOLink', { endUser: account, contactType: 'BILLING' }, `url ${linkFields}`);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const token = tokenOf(answer.data.result.ssoLink);
    const [, payload, signature] = token.split('.') as [string, string, string];
    const kept = [...test.logs.slice(logsBefore), JSON.stringify(await contents(test)), ...[...answer.headers].flat()].join('\n');
    expect(test.logs.length).toBeGreaterThan(logsBefore);
    for (const part of [token, payload, signature]) expect(kept).not.toContain(part);
    expectNoTrace(test, answer, sharedSecret, logsBefore);
  });

  it('H14: what is kept of it is its jti, for whom, and until when; the sweep removes that', async () => {
    const { caller, endUser } = await openAccount(test);
    const { jti, expiresAt } = await link(test, caller);
    const links = test.database.collection('ssoLinks');
    const [stored, ...more] = await links.find({ organizationId: caller.organization }).toArray();
    expect(more).toEqual([]);
    expect(stored).toMatchObject({ jti, contactType: 'BILLING', expiresAt: new Date(expiresAt) });
    expect(Buffer.from(endUser, 'base64url').toString()).toBe(`EndUser:${stored?.endUserId}`);
    // Nobody else’s jti can be the same, whatever the code does.
    await expect(links.insertOne({ ...stored, _id: 'another' as never })).rejects.toMatchObject({ code: 11000 });
    const { time } = test;
    try {
      test.time = () => new Date(new Date(expiresAt).getTime() - 1);
      await test.gateway.sweep();
      expect(await links.countDocuments({ jti })).toBe(1);
      test.time = () => new Date(expiresAt);
      await test.gateway.sweep();
      expect(await links.countDocuments({ jti })).toBe(0);
    } finally {
      test.time = time;
    }
  });

  it('H14: who made it, for which contact, and its jti are in the audit log; so are refusals', async () => {
    const { caller, endUser } = await openAccount(test);
    const { jti } = await link(test, caller);
    await ask(test, caller, { returnTo: '//evil.example' });
    const log = async (fields: string, outcome: string) => {
      const text = `query ($outcome: AuditOutcome!) { auditLog(action: createSSOLink, outcome: $outcome) { nodes { ${fields} } } }`;
      return (await test.query(caller, text, { outcome })).auditLog.nodes;
    };
    expect(await log('subject reason objectId', 'SUCCESS')).toEqual([{ subject: 'tester', reason: `BILLING: ${jti}`, objectId: endUser }]);
    await test.gateway.audit.seal();
    expect(await log('subject count', 'VALIDATION_FAILED')).toEqual([{ subject: 'tester', count: 1 }]);
  });

  it('H14: nothing of it outlives its integration', async () => {
    const { caller } = await openAccount(test);
    await link(test, caller);
    await run(test, caller, 'deleteIntegration', { integration, force: true }, '');
    expect(await test.database.collection('ssoLinks').countDocuments({ organizationId: caller.organization })).toBe(0);
  });
});

describe('the token', () => {
  it('H21: says typ and alg HS256, iat in whole seconds, no exp and no role', async () => {
    const { caller } = await openAccount(test);
    const { time } = test;
    test.time = () => new Date('2030-01-02T03:04:05.678Z');
    try {
      const made = await link(test, caller);
      expect(partOf(tokenOf(made), 0)).toEqual({ typ: 'JWT', alg: 'HS256' });
      const iat = Date.parse('2030-01-02T03:04:05Z') / 1000;
      expect(partOf(tokenOf(made), 1)).toEqual({
        iat,
        jti: made.jti,
        email: 'billing@example.com',
        name: 'The BILLING one',
        external_id: 'account-1:billing',
      });
      expect(made).toMatchObject({ expiresAt: '2030-01-02T03:06:05.000Z', claims: { iat, jti: made.jti } });
    } finally {
      test.time = time;
    }
  });

  it('H21: is to be used within 120 seconds, or as many as are asked for, and never more than Zendesk allows', async () => {
    const { caller } = await openAccount(test);
    const lasts = async (lifetimeSeconds?: number) => {
      const { expiresAt, claims } = await link(test, caller, lifetimeSeconds === undefined ? {} : { lifetimeSeconds });
      return Date.parse(expiresAt) / 1000 - claims.iat;
    };
    expect([await lasts(), await lasts(1), await lasts(180)]).toEqual([120, 1, 180]);
    for (const lifetimeSeconds of [0, -1, 181, 100_000]) {
      expect(await ask(test, caller, { lifetimeSeconds })).toMatchObject({
        code: 'VALIDATION_FAILED',
        issues: [{ path: ['input', 'lifetimeSeconds'] }],
      });
    }
  });

  it('H21: is taken by the account once, within three minutes, and by no other account', async () => {
    const { caller, sharedSecret } = await openAccount(test);
    const made = await link(test, caller);
    const token = tokenOf(made);
    const at = (seconds: number) => () => new Date((made.claims.iat + seconds) * 1000);
    expect(zendeskAccount(newSharedSecret(), at(0))(token)).toEqual({ refused: 'signature' });
    for (const late of [181, -181]) expect(zendeskAccount(sharedSecret, at(late))(token)).toEqual({ refused: 'iat' });
    const zendesk = zendeskAccount(sharedSecret, at(120));
    expect(zendesk(token)).toEqual({ claims: partOf(token, 1) });
    expect(zendesk(token)).toEqual({ refused: 'jti' });
    expect(zendesk(tokenOf(await link(test, caller)))).toHaveProperty('claims');
    const forged = Buffer.from(JSON.stringify({ ...partOf(token, 1), email: 'admin@example.com' })).toString('base64url');
    expect(zendeskAccount(sharedSecret)(token.replace(/\.[^.]+\./, `.${forged}.`))).toEqual({ refused: 'signature' });
  });

  it('H21: is signed with the text of a jwt credential, whatever characters it has', async () => {
    const { caller } = await openAccount(test);
    const secret = `Schlüssel-密钥-🔑-+/=${newSharedSecret()}`;
    await addConnection(test, caller, { name: 'text', data: { jwt: { algorithm: 'HS256', secret } } });
    const token = tokenOf(await link(test, caller, { connection: { inIntegration: { integration, name: 'text' } } }));
    expect(zendeskAccount(secret)(token)).toHaveProperty('claims');
    expect(zendeskAccount(Buffer.from(secret, 'base64'))(token)).toEqual({ refused: 'signature' });
  });

  it('H21: is signed with the bytes that a jwtBearer credential has in base64, whatever bytes', async () => {
    const { caller } = await openAccount(test);
    const bytes = Buffer.concat([Buffer.from([0, 255, 254, 128]), randomBytes(44)]);
    const jwtBearer = {
      algorithm: 'HS256',
      secret: bytes.toString('base64'),
      payload: '{"role":"admin","email":"mallory@example.com"}',
      expiresIn: '1h',
      authorizationHeaderPrefix: 'Bearer',
    };
    await addConnection(test, caller, { name: 'bytes', data: { jwtBearer } });
    const token = tokenOf(await link(test, caller, { connection: { inIntegration: { integration, name: 'bytes' } } }));
    expect(zendeskAccount(bytes)(token)).toMatchObject({ claims: { email: 'billing@example.com' } });
    // The credential’s own claims are for another use; `role` among them would make an administrator.
    expect(partOf(token, 1)).not.toHaveProperty('role');
  });
});

describe('who is named', () => {
  it('H20: name and address come from the contact; without a name, from the end user', async () => {
    const { caller } = await openAccount(test);
    const rename = async (displayName: string, name: string | null) => {
      await run(test, caller, 'updateEndUser', {
        endUser: account,
        displayName,
        contacts: [{ type: 'BILLING', name, email: mailOf('BILLING') }],
      });
      return (await link(test, caller)).claims;
    };
    expect(await rename('Account One', 'Ada')).toMatchObject({ name: 'Ada', email: 'billing@example.com' });
    expect(await rename('Account One', null)).toMatchObject({ name: 'Account One' });
    expect(await rename('', null)).toMatchObject({ name: 'billing@example.com' });
  });

  it('H21: what the integration configures is told, and what it does not is not', async () => {
    const { caller } = await openAccount(test);
    const configure = async (ssoClaims: object | null) => {
      const result = await run(test, caller, 'updateIntegration', { integration, ssoClaims });
      expect(result).toMatchObject({ __typename: 'UpdateIntegrationSuccess' });
      const made = await link(test, caller);
      const { iat, jti, email, name, ...rest } = partOf(tokenOf(made), 1);
      return { rest, claims: made.claims };
    };
    const userFields = [
      { name: 'plan', text: 'gold' },
      { name: 'seats', number: 2.5 },
      { name: 'vip', flag: false },
      { name: 'old' },
      { name: '__proto__', text: 'x' },
    ];
    const all = { organization: 'Hosting', locale: 8, tags: ['paying', 'eu'], userFields, sendPhone: true, externalId: 'END_USER' };
    const { rest, claims } = await configure(all);
    expect(rest).toEqual({
      external_id: 'account-1',
      phone: '+12105550100',
      organization: 'Hosting',
      locale: 8,
      tags: ['paying', 'eu'],
      user_fields: JSON.parse('{"plan":"gold","seats":2.5,"vip":false,"old":null,"__proto__":"x"}'),
    });
    expect(claims).toMatchObject({
      externalId: 'account-1',
      phone: '+12105550100',
      organization: 'Hosting',
      locale: 8,
      tags: ['paying', 'eu'],
      userFields: userFields.map((field) => ({ text: null, number: null, flag: null, ...field })),
    });
    expect((await configure({ tags: [], externalId: 'NONE' })).rest).toEqual({ tags: [] });
    expect((await configure({})).rest).toEqual({ external_id: 'account-1:billing' });
    expect((await configure(null)).rest).toEqual({ external_id: 'account-1:billing' });
  });

  it('H21: the integration shows what it configures; a change of something else keeps it', async () => {
    const { caller } = await openAccount(test);
    const fields = 'ssoClaims { organization locale tags userFields { name text number flag } sendPhone externalId }';
    const read = async () =>
      (await test.query(caller, `query ($by: IntegrationRef!) { integration(by: $by) { ${fields} } }`, { by: integration })).integration;
    expect(await read()).toEqual({ ssoClaims: null });
    await run(test, caller, 'updateIntegration', { integration, ssoClaims: { tags: ['a'] } });
    await run(test, caller, 'updateIntegration', { integration, description: 'changed' });
    const unset = { organization: null, locale: null, userFields: null, sendPhone: false, externalId: 'CONTACT' };
    expect(await read()).toEqual({ ssoClaims: { ...unset, tags: ['a'] } });
    await run(test, caller, 'updateIntegration', { integration, ssoClaims: null });
    expect(await read()).toEqual({ ssoClaims: null });
    const other = await test.create(caller, 'Integration', { name: 'other', ssoClaims: { locale: 1 } }, fields);
    expect(other.ssoClaims).toMatchObject({ locale: 1 });
  });

  it.each([
    [{ organization: '' }, ['organization']],
    [{ locale: 0 }, ['locale']],
    [{ tags: ['two words'] }, ['tags', '0']],
    [{ tags: Array(51).fill('a') }, ['tags']],
    [{ userFields: [{ name: 'a b' }] }, ['userFields', '0', 'name']],
    [{ userFields: [{ name: 'a', text: 'x', flag: true }] }, ['userFields', '0']],
    [{ userFields: [{ name: 'a' }, { name: 'a' }] }, ['userFields']],
  ])('H21: refuses to configure %j', async (ssoClaims, path) => {
    const { caller } = await openAccount(test);
    expect(await run(test, caller, 'updateIntegration', { integration, ssoClaims })).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'ssoClaims', ...path] }],
    });
  });

  it('H21: a role is nobody’s to give: not the caller’s, not the integration’s', async () => {
    const { caller } = await openAccount(test);
    const asMember = await test.answer(caller, query.replace('contactType: BILLING', 'contactType: BILLING, role: "admin"'), {
      endUser: account,
    });
    expect(asMember.errors?.[0].extensions.code).toBe('GRAPHQL_VALIDATION_FAILED');
    const configured = await test.answer(
      caller,
      'mutation ($input: UpdateIntegrationInput!) { updateIntegration(input: $input) { __typename } }',
      { input: { integration, ssoClaims: { role: 'admin' } } },
    );
    expect(configured.status).toBe(400);
  });

  it('H20: a phone number that is not international is not told', async () => {
    const { caller } = await openAccount(test);
    await run(test, caller, 'updateIntegration', { integration, ssoClaims: { sendPhone: true } });
    await run(test, caller, 'updateEndUser', {
      endUser: account,
      contacts: [{ type: 'BILLING', email: mailOf('BILLING'), phone: '555-0100 ext. 7' }],
    });
    expect((await link(test, caller)).claims.phone).toBeNull();
  });
});

describe('the gate', () => {
  const noSuch = { inIntegration: { integration, externalId: 'no such' } };

  it('H8: without a token, or with a bad one, is 401', async () => {
    await openAccount(test);
    const bad = ['', 'Bearer', 'Bearer x.y.z', `Bearer ${await test.token({ organization: 'x', claims: { exp: 1 } })}`];
    for (const authorization of bad) {
      const { status, errors, data } = await test.send({ query, variables: { endUser: account } }, authorization ? { authorization } : {});
      expect({ status, code: errors?.[0].extensions.code, data }).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
      expect(data?.createSSOLink).toBeUndefined();
    }
  });

  it('H8: a deleted organization’s token is none', async () => {
    const { caller } = await openAccount(test);
    await test.gateway.deleteOrganization(caller.organization);
    const { errors } = await test.answer(caller, query, { endUser: account });
    expect(errors?.[0].extensions.code).toBe('UNAUTHENTICATED');
    expect(await test.database.collection('ssoLinks').countDocuments({ organizationId: caller.organization })).toBe(0);
  });

  it('H8: without the scope nothing is told, not even what exists', async () => {
    const { caller } = await openAccount(test);
    const scopes = ['all.Organization.read', 'endUsers.*', 'credentials.*', 'connections.*', 'credentials.reveal'];
    for (const endUser of [account, noSuch]) {
      const { errors } = await test.answer({ ...caller, scopes }, query, { endUser });
      expect(errors).toHaveLength(1);
      expect(errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'ssoLinks.post' });
    }
    for (const scope of ['ssoLinks.post', 'ssoLinks.*', 'all.Organization']) {
      expect(await link(test, { ...caller, scopes: [scope] }, {})).toHaveProperty('jti');
    }
  });

  it('H9, H10: an address that is not verified is refused, in Hostway’s words', async () => {
    const { caller } = await openAccount(test);
    await verify(test, caller, 'BILLING', false);
    expect(await ask(test, caller)).toEqual({
      __typename: 'EmailNotVerifiedError',
      code: 'EMAIL_NOT_VERIFIED',
      message: 'Email address is not verified',
    });
    expect(await link(test, caller, { contactType: 'TECHNICAL' })).toHaveProperty('jti');
    await verify(test, caller, 'BILLING');
    expect(await link(test, caller)).toHaveProperty('jti');
  });

  it('H9: only a scope of its own verifies an address, and a changed one is not verified any more', async () => {
    const { caller } = await openAccount(test);
    const change = (email: string | null) =>
      run(test, caller, 'updateEndUser', { endUser: account, contacts: [{ type: 'BILLING', email }] });
    await change('new@example.com');
    expect(await ask(test, caller)).toMatchObject({ code: 'EMAIL_NOT_VERIFIED' });
    // The old one, back again, has to be verified again.
    await change(mailOf('BILLING'));
    expect(await ask(test, caller)).toMatchObject({ code: 'EMAIL_NOT_VERIFIED' });
    await change(null);
    expect(await ask(test, caller)).toMatchObject({ code: 'EMAIL_NOT_VERIFIED' });
    const vouched = { endUser: account, contactType: 'BILLING', email: mailOf('BILLING'), verified: true };
    const { errors } = await send(test, { ...caller, scopes: ['all.Organization'] }, 'setEmailVerified', vouched);
    expect(errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'endUsers.verifyEmail' });
  });

  it('H11, H12: what does not exist, what is purged and what is another’s are one answer', async () => {
    const { caller, endUser } = await openAccount(test);
    const other = await openAccount(test);
    const answers = [
      await ask(test, caller, { endUser: noSuch }),
      await ask(test, caller, { endUser: { inIntegration: { integration: { name: 'no such' }, externalId: 'account-1' } } }),
      await ask(test, caller, { endUser: { id: other.endUser } }),
      await ask(test, { organization: test.newOrganization() }, { endUser: { id: endUser } }),
    ];
    await run(test, caller, 'updateEndUser', { endUser: account, contacts: [{ type: 'REGULAR', email: mailOf('REGULAR') }] });
    answers.push(await ask(test, caller));
    await run(test, caller, 'deleteEndUser', { endUser: account }, '');
    answers.push(
      await ask(test, caller),
      await ask(test, caller, { contactType: 'REGULAR' }),
      await ask(test, caller, { endUser: { id: endUser } }),
    );
    for (const answer of answers) {
      expect(answer).toEqual({
        __typename: 'NotFoundError',
        code: 'NOT_FOUND',
        message: 'There is no such contact.',
        path: ['input', 'contactType'],
      });
    }
  });

  it('H13: an error names its kind, has words for people and a code for programs, and its answer an id for the log', async () => {
    const { caller } = await openAccount(test);
    await verify(test, caller, 'BILLING', false);
    const first = await send(test, caller, 'createSSOLink', { endUser: account, contactType: 'BILLING' }, 'jti');
    const second = await send(test, caller, 'createSSOLink', { endUser: noSuch, contactType: 'BILLING' }, 'jti');
    const ids = [first, second].map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(test.logs.join('')).toContain(`"requestId":"${id}"`);
    expect([first, second].map(({ data }) => data.result.__typename)).toEqual(['EmailNotVerifiedError', 'NotFoundError']);
  });

  // Hostway does not fix the order of 403 and 404. Ours: what does not exist cannot be unverified.
  it('H15: is passed in this order: token, scope, contact, verified address, connection, returnTo', async () => {
    const { caller } = await openAccount(test);
    const input = {
      endUser: noSuch,
      contactType: 'BILLING',
      returnTo: '//evil.example',
      connection: { inIntegration: { integration, name: 'x' } },
    };
    const code = async (asking: Caller, given: object) => {
      const { data, errors } = await send(test, asking, 'createSSOLink', given, 'jti');
      return errors?.[0].extensions.code ?? data.result.code ?? data.result.__typename;
    };
    const anonymous = await test.send({ query, variables: { endUser: noSuch } });
    expect(anonymous.errors?.[0].extensions.code).toBe('UNAUTHENTICATED');
    expect(await code({ ...caller, scopes: ['endUsers.get'] }, input)).toBe('FORBIDDEN');
    expect(await code(caller, input)).toBe('NOT_FOUND');
    await verify(test, caller, 'BILLING', false);
    expect(await code(caller, { ...input, endUser: account })).toBe('EMAIL_NOT_VERIFIED');
    await verify(test, caller, 'BILLING');
    expect(await code(caller, { ...input, endUser: account })).toBe('NOT_FOUND');
    expect(await code(caller, { ...input, endUser: account, connection: undefined })).toBe('VALIDATION_FAILED');
    expect(await code(caller, { endUser: account, contactType: 'BILLING' })).toBe('CreateSSOLinkSuccess');
  });

  it('H14: the scopes of a whole operation come first: without this one, nothing before it is written', async () => {
    const { caller } = await openAccount(test);
    const { errors } = await sendAll(test, { ...caller, scopes: ['integrations.*'] }, [
      ['createIntegration', { name: 'new' }],
      ['createSSOLink', { endUser: account, contactType: 'BILLING' }, 'jti'],
    ]);
    expect(errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'ssoLinks.post' });
    const { integrations } = await test.query(caller, '{ integrations { nodes { name } } }');
    expect(integrations.nodes).toEqual([{ name: 'hosting' }]);
  });
});

describe('the connection that signs', () => {
  const jwt = (algorithm = 'HS256') => ({ jwt: { algorithm, secret: newSharedSecret() } });
  const missing = (result: Json) => result.missing ?? result.issues ?? result.code ?? result.__typename;
  const named = (name: string) => ({ connection: { inIntegration: { integration, name } } });

  /** An account without the connection that `openAccount` makes. */
  async function withoutConnection() {
    const opened = await openAccount(test);
    await run(test, opened.caller, 'deleteConnection', { connection: { inIntegration: { integration, name: 'zendesk' } } }, '');
    const { credentials } = await test.query(opened.caller, '{ credentials { nodes { ... on CredentialBase { id } } } }');
    for (const { id } of credentials.nodes) await run(test, opened.caller, 'deleteCredential', { credential: id }, '');
    return opened;
  }

  it('H7: is missed by a typed error, that says what is missing', async () => {
    const { caller } = await withoutConnection();
    expect(await ask(test, caller)).toEqual({
      __typename: 'SSONotConfiguredError',
      code: 'SSO_NOT_CONFIGURED',
      message: expect.stringContaining('<subdomain>.zendesk.com'),
      missing: 'CONNECTION',
    });
    await addConnection(test, caller, { name: 'a', data: { basicAuth: { username: 'ada', password: 'x' } } });
    expect(missing(await ask(test, caller))).toBe('CONNECTION');
    expect(missing(await ask(test, caller, named('a')))).toBe('CREDENTIAL');
    await addConnection(test, caller, { name: 'b', data: jwt(), allowedDomain: 'support.example.com' });
    expect(missing(await ask(test, caller))).toBe('CONNECTION');
    expect(missing(await ask(test, caller, named('b')))).toBe('ALLOWED_DOMAIN');
    await addConnection(test, caller, { name: 'c', data: jwt(), enabled: false });
    expect(missing(await ask(test, caller))).toBe('ENABLED_CREDENTIAL');
    expect(missing(await ask(test, caller, named('c')))).toBe('ENABLED_CREDENTIAL');
    await addConnection(test, caller, { name: 'd', data: jwt('HS512') });
    expect(missing(await ask(test, caller, named('d')))).toBe('HS256');
    expect(missing(await ask(test, caller, named('e')))).toBe('NOT_FOUND');
    await addConnection(test, caller, { name: 'f', data: jwt() });
    expect(missing(await ask(test, caller))).toBe('CreateSSOLinkSuccess');
  });

  it('H7: is a host of Zendesk’s own: not one that looks like it', async () => {
    const { caller } = await withoutConnection();
    const hosts = [
      'zendesk.com',
      'a.b.zendesk.com',
      'acme.zendesk.com.evil.example',
      'evilzendesk.com',
      'acme.zendesk.org',
      'acme-zendesk.com',
    ];
    for (const [index, allowedDomain] of [...hosts, null].entries()) {
      await addConnection(test, caller, { name: `host ${index}`, data: jwt(), allowedDomain });
      expect(missing(await ask(test, caller, named(`host ${index}`)))).toBe('ALLOWED_DOMAIN');
    }
    expect(missing(await ask(test, caller))).toBe('CONNECTION');
    await addConnection(test, caller, { name: 'upper', data: jwt(), allowedDomain: 'ACME.Zendesk.COM' });
    expect((await link(test, caller)).form.action).toBe('https://acme.zendesk.com/access/jwt');
  });

  it('H7: must be named where there are several', async () => {
    const { caller, sharedSecret } = await openAccount(test);
    await addConnection(test, caller, { name: 'another', data: jwt(), allowedDomain: 'other.zendesk.com' });
    expect(await ask(test, caller)).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'connection'], message: expect.stringContaining('must name') }],
    });
    expect((await link(test, caller, named('another'))).form.action).toBe('https://other.zendesk.com/access/jwt');
    expect(zendeskAccount(sharedSecret)(tokenOf(await link(test, caller, named('zendesk'))))).toHaveProperty('claims');
  });

  it('H11: is of the same integration, and of nobody else', async () => {
    const { caller } = await withoutConnection();
    await test.create(caller, 'Integration', { name: 'shop' });
    await test.create(caller, 'EndUser', { integration, externalId: 'bob' });
    const shop = { name: 'shop' };
    const bob = { inIntegration: { integration, externalId: 'bob' } };
    const inShop = await addConnection(test, caller, { integration: shop, data: jwt() });
    const bobs = await addConnection(test, caller, { name: 'bob’s', endUser: bob, data: jwt() });
    const others = await openAccount(test);
    const elsewhere = (await test.query(others.caller, '{ connections { nodes { id } } }')).connections.nodes[0].id;
    for (const id of [inShop, bobs, elsewhere])
      expect(await ask(test, caller, { connection: { id } })).toMatchObject({ code: 'NOT_FOUND' });
    expect(missing(await ask(test, caller))).toBe('CONNECTION');
    const own = await addConnection(test, caller, { name: 'own', endUser: account, data: jwt(), allowedDomain: 'own.zendesk.com' });
    expect((await link(test, caller)).form.action).toBe('https://own.zendesk.com/access/jwt');
    expect(await link(test, caller, { connection: { id: own } })).toHaveProperty('jti');
  });

  it('H14: signs with the first of its action credentials that can, and not with one that has expired', async () => {
    const { caller } = await withoutConnection();
    const [first, second] = [newSharedSecret(), newSharedSecret()];
    const create = (data: object, rest: object = {}) => ({
      credential: { create: { name: 'c', data, ...maySignFor('acme.zendesk.com'), ...rest } },
    });
    const soon = new Date(test.time().getTime() + 60_000).toISOString();
    const input = {
      integration,
      name: 'several',
      allowedDomain: 'acme.zendesk.com',
      triggerCredentials: [create(jwt())],
      actionCredentials: [
        create({ basicAuth: { username: 'ada', password: 'x' } }),
        create(jwt(), { enabled: false }),
        create(jwt('HS384')),
        create({ jwt: { algorithm: 'HS256', secret: first } }, { expiresAt: soon }),
        create({ jwt: { algorithm: 'HS256', secret: second } }),
      ],
    };
    await test.create(caller, 'Connection', input);
    const { claims, form } = await link(test, caller);
    expect(zendeskAccount(first)(tokenOf({ form }))).toHaveProperty('claims');
    const { time } = test;
    test.time = () => new Date((claims.iat + 120) * 1000);
    try {
      expect(zendeskAccount(second, test.time)(tokenOf(await link(test, caller)))).toHaveProperty('claims');
    } finally {
      test.time = time;
    }
  });

  it('H14: when its secret cannot be opened, says so, and leaves nothing', async () => {
    const { caller } = await openAccount(test);
    await test.database.collection('secrets').deleteMany({ organizationId: caller.organization });
    expect(await ask(test, caller)).toMatchObject({ code: 'UNREADABLE_SECRET' });
    expect(await test.database.collection('ssoLinks').countDocuments({ organizationId: caller.organization })).toBe(0);
  });

  it('H14: its secret is opened for signing, and asked for by nobody', async () => {
    const { caller, sharedSecret } = await openAccount(test);
    const logsBefore = test.logs.length;
    const answer = await send(
      test,
      { ...caller, scopes: ['ssoLinks.post'] },
      'createSSOLink',
      { endUser: account, contactType: 'BILLING' },
      `url ${linkFields}`,
    );
    expect(answer.data.result.__typename).toBe('CreateSSOLinkSuccess');
    expectNoTrace(test, answer, sharedSecret, logsBefore);
  });
});
