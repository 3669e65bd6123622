import { describe, expect, it } from 'vitest';
import { type Caller, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';
import { account, ask, integration, newSharedSecret, openAccount } from './sso-account.ts';

const test = useTestGateway();

/** The caller of the attack: it may write connections and ask for links, and knows no secret. */
const attacker = (caller: Caller): Caller => ({
  ...caller,
  scopes: ['connections.get', 'connections.post', 'connections.patch', 'ssoLinks.post', 'endUsers.get'],
});
const named = (name: string) => ({ connection: { inIntegration: { integration, name } } });

describe('who may only write connections', () => {
  it('cannot have a token signed with another’s key for a host of its own', async () => {
    const { caller } = await openAccount(test);
    const { credentials } = await test.query(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }');
    const actionCredentials = [{ credential: { id: credentials.nodes[0].id } }];
    await run(test, attacker(caller), 'createConnection', {
      integration,
      name: 'mine',
      allowedDomain: 'attacker.zendesk.com',
      actionCredentials,
    });
    expect(await ask(test, attacker(caller), named('mine'))).not.toHaveProperty('ssoLink');
    await run(test, attacker(caller), 'updateConnection', { ...named('zendesk'), allowedDomain: 'attacker.zendesk.com' });
    const { ssoLink } = await ask(test, attacker(caller), named('zendesk'));
    expect(ssoLink?.form.action).not.toBe('https://attacker.zendesk.com/access/jwt');
  });

  it('cannot have a token signed with a key that is for something else', async () => {
    const { caller } = await openAccount(test);
    const { id } = await test.create(caller, 'Credential', {
      integration,
      name: 'webhooks',
      data: { jwt: { algorithm: 'HS256', secret: newSharedSecret() } },
    });
    const actionCredentials = [{ credential: { id } }];
    const input = { integration, name: 'mine', allowedDomain: 'attacker.zendesk.com', actionCredentials };
    await run(test, attacker(caller), 'createConnection', input);
    expect(await ask(test, attacker(caller), named('mine'))).not.toHaveProperty('ssoLink');
  });
});

describe('an end user', () => {
  it('cannot make a connection to a connector that uses the integration’s own client', async () => {
    const { caller, endUser } = await openAccount(test);
    const oauth2Client = { clientId: 'c', clientSecret: 's', tokenUrl: 'https://auth.example.com/token' };
    const { id } = await test.create(caller, 'Credential', { integration, name: 'client', data: { oauth2Client } });
    const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', clientCredentialId: id };
    const connector = await test.create(caller, 'Connector', {
      integration,
      name: 'crm',
      baseUrl: 'https://api.example.com',
      authSchemes: [{ id: 'oauth', schemeType: 'OAUTH2', oauth2 }],
    });
    const own = { ...caller, token: await test.makeEndUserToken(caller, { id: endUser }) };
    const input = { integration, connector: { id: connector.id }, name: 'mine', allowedDomain: 'evil.example' };
    expect(await run(test, own, 'createConnection', input)).not.toHaveProperty('connection');
  });

  it('cannot break the sign-in by making connections, or decide where it leads', async () => {
    const { caller, endUser } = await openAccount(test);
    const own = { ...caller, token: await test.makeEndUserToken(caller, { id: endUser }) };
    for (const name of ['a', 'b']) {
      const create = { name: 'key', data: { jwt: { algorithm: 'HS256', secret: newSharedSecret() } } };
      await run(test, own, 'createConnection', {
        integration,
        name,
        allowedDomain: 'evil.zendesk.com',
        actionCredentials: [{ credential: { create } }],
      });
    }
    expect((await ask(test, caller)).ssoLink?.form.action).toBe('https://acme.zendesk.com/access/jwt');
  });

  it('cannot take a name that the company needs, or learn that it is taken', async () => {
    const { caller, endUser } = await openAccount(test);
    const own = { ...caller, token: await test.makeEndUserToken(caller, { id: endUser }) };
    expect(await run(test, own, 'createConnection', { integration, name: 'zendesk' })).toHaveProperty('connection');
    await run(test, own, 'createConnection', { integration, name: 'wanted' });
    expect(await run(test, caller, 'createConnection', { integration, name: 'wanted' })).toHaveProperty('connection');
    expect(account).toBeDefined();
  });
});
