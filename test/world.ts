import { randomBytes } from 'node:crypto';
import type { Noun } from '../src/access/scopes.ts';
import { encodeId, parseId } from '../src/schema/kit/global-id.ts';
import { issuer } from './contracts/service.ts';
import type { Caller, TestGateway } from './harness.ts';

/** An organization with two integrations and what can refer to each other, or must not, by global ids. Nothing is bound to anything. */
export interface World {
  readonly caller: Caller;
  readonly crm: string;
  readonly connector: string;
  readonly ada: string;
  readonly bob: string;
  readonly credential: string;
  readonly adasCredential: string;
  readonly connection: string;
  readonly shop: string;
  readonly otherConnector: string;
  readonly otherEndUser: string;
  readonly otherCredential: string;
}

/** An organization with one or more of everything, each of them bound to the others where it can be. */
export interface BoundWorld {
  readonly caller: Caller;
  /** A global id of each noun. */
  readonly ids: Readonly<Record<Noun, string>>;
  /** Another global id of some nouns. */
  readonly more: {
    readonly certificate: string;
    readonly client: string;
    readonly tokens: string;
    readonly jwt: string;
    readonly endUserCredential: string;
  };
  /** Every way to name an object, by the name of the input type that takes it. */
  readonly refs: Readonly<Record<string, readonly object[]>>;
}

/** Makes something in an integration, and answers its global id. */
type Make = (noun: 'Connector' | 'EndUser' | 'Connection' | 'Credential', input: object) => Promise<string>;

const baseUrl = 'https://api.example.com';
const tokenUrl = 'https://auth.example.com/token';
const basicAuth = { username: 'ada', password: 'pa55word' };
export const emailOfContact = 'ada@example.com';
const contacts = [{ type: 'REGULAR', name: 'Ada', email: emailOfContact }];

const making = (test: TestGateway, caller: Caller, integration: object): Make => {
  return async (noun, input) => (await test.create(caller, noun, { integration, ...input })).id;
};

async function seedIntegration(test: TestGateway, caller: Caller, name: string): Promise<{ id: string; make: Make }> {
  const { id } = await test.create(caller, 'Integration', { name, description: 'A world.' });
  return { id, make: making(test, caller, { id }) };
}

/** What every world has in its first integration; a suffix ends each name. */
async function seedNouns(make: Make, suffix = '', authSchemes: readonly object[] = []) {
  const ada = await make('EndUser', { externalId: `ada${suffix}`, displayName: 'Ada', contacts });
  return {
    ada,
    connector: await make('Connector', {
      name: `zendesk${suffix}`,
      baseUrl,
      authSchemes,
      endUsersMayUseClient: true,
      check: { method: 'GET', path: '/' },
    }),
    credential: await make('Credential', { name: `shared${suffix}`, data: { basicAuth } }),
    adasCredential: await make('Credential', { endUser: { id: ada }, name: `ada’s${suffix}`, data: { basicAuth } }),
  };
}

/** Credentials of the kinds that schemes and SSO name. */
async function seedNamedCredentials(make: Make, word: string) {
  const oauth2Client = { clientId: 'c', clientSecret: word, tokenUrl };
  return {
    client: await make('Credential', {
      name: `client-${word}`,
      allowedDomains: ['auth.example.com'],
      allowedPurposes: ['TOKEN_REQUEST'],
      data: { oauth2Client },
    }),
    tokens: await make('Credential', {
      name: `tokens-${word}`,
      allowedDomains: ['localhost'],
      allowedPurposes: ['TOKEN_REQUEST'],
      data: { oauth2Client: { ...oauth2Client, tokenUrl: `${issuer}/token` } },
    }),
    certificate: await make('Credential', { name: `certificate-${word}`, data: { string: { value: word } } }),
    jwt: await make('Credential', {
      name: `jwt-${word}`,
      allowedDomains: ['acme.zendesk.com'],
      allowedPurposes: ['SSO_SIGNING'],
      data: { jwt: { algorithm: 'HS256', secret: `a shared secret of thirty-two bytes ${word}` } },
    }),
  };
}

export async function seedWorld(test: TestGateway): Promise<World> {
  const caller = { organization: test.newOrganization() };
  const crm = await seedIntegration(test, caller, 'crm');
  const shop = await seedIntegration(test, caller, 'shop');
  return {
    caller,
    crm: crm.id,
    ...(await seedNouns(crm.make)),
    bob: await crm.make('EndUser', { externalId: 'bob' }),
    connection: await crm.make('Connection', { name: 'plain' }),
    shop: shop.id,
    otherConnector: await shop.make('Connector', { name: 'zendesk', baseUrl }),
    otherEndUser: await shop.make('EndUser', { externalId: 'ada' }),
    otherCredential: await shop.make('Credential', { name: 'shop’s', data: { basicAuth } }),
  };
}

export async function seedBoundWorld(test: TestGateway, organization = test.newOrganization()): Promise<BoundWorld> {
  const caller = { organization };
  const word = randomBytes(6).toString('hex');
  const suffix = `-${word}`;
  const { id: integrationId, make } = await seedIntegration(test, caller, `crm${suffix}`);
  const named = await seedNamedCredentials(make, word);
  const oauth2 = {
    grant: 'AUTHORIZATION_CODE',
    authorizeUrl: 'https://auth.example.com/authorize',
    tokenUrl,
    clientCredentialId: named.client,
    mtlsCredentialId: named.certificate,
  };
  const authScheme = { schemeId: 'oauth', schemeType: 'OAUTH2', oauth2 };
  const { ada, connector, credential, adasCredential } = await seedNouns(make, suffix, [authScheme]);
  await test.query(caller, VERIFY, { endUser: { id: ada }, email: emailOfContact });
  const connection = await make('Connection', {
    connector: { id: connector },
    endUser: { id: ada },
    name: `connection${suffix}`,
    actionCredentials: [{ credential: { id: credential }, authScheme }, { credential: { id: adasCredential } }],
    triggerCredentials: [{ credential: { id: credential }, authScheme }],
    variables: [{ name: 'region', value: 'eu' }],
  });
  await make('Connection', {
    name: `support${suffix}`,
    allowedDomain: 'acme.zendesk.com',
    actionCredentials: [{ credential: { id: named.jwt } }],
    // For requests that are authorized.
    triggerCredentials: [
      {
        credential: {
          create: {
            name: `trigger-${word}`,
            allowedDomains: ['acme.zendesk.com'],
            allowedPurposes: ['TRIGGER'],
            data: { bearerToken: { token: `token-${word}` } },
          },
        },
      },
    ],
  });
  const ids = {
    integration: integrationId,
    connector,
    endUser: ada,
    connection,
    credential,
    apiKey: (await test.makeAPIKey(caller, { scopes: ['apiKeys.post'] })).id,
    auditEntry: await auditEntry(test, caller),
    event: await event(test, caller),
    ...(await webhook(test, caller, integrationId)),
  };
  return { caller, ids, more: { ...named, endUserCredential: adasCredential }, refs: refsOf(ids, suffix) };
}

/** A world within a world: a new end user of its integration, with one of everything that an end user can have, and a token. */
export async function seedEndUserWorld(test: TestGateway, { caller, ids, refs }: BoundWorld): Promise<BoundWorld> {
  const word = randomBytes(6).toString('hex');
  const integration = { id: ids.integration };
  const externalId = `ada-${word}`;
  const endUser = { id: await making(test, caller, integration)('EndUser', { externalId, contacts }) };
  const own = { ...caller, token: await test.makeEndUserToken(caller, endUser, { scopes: ['all.Organization'] }) };
  const make = making(test, own, integration);
  const credential = await make('Credential', { name: `own-${word}`, data: { basicAuth } });
  const connector = { id: ids.connector };
  const name = `connection-${word}`;
  const connection = await make('Connection', { connector, name, actionCredentials: [{ credential: { id: credential } }] });
  const endUserCredential = await make('Credential', { name: `other-${word}`, data: { apiKey: { headerName: 'X-Key', apiKey: word } } });
  return {
    caller: own,
    ids: { ...ids, endUser: endUser.id, connection, credential },
    more: { ...(await seedNamedCredentials(make, word)), endUserCredential },
    refs: {
      ...refs,
      EndUserRef: [endUser, { inIntegration: { integration, externalId } }],
      ConnectionRef: [{ id: connection }, { inConnector: { connector, name } }, { inConnector: { connector, name, endUser } }],
    },
  };
}

function refsOf(ids: BoundWorld['ids'], suffix: string): BoundWorld['refs'] {
  const integrations = [{ id: ids.integration }, { name: `crm${suffix}` }];
  const [byId, byName] = integrations;
  const connector = { inIntegration: { integration: byName, name: `zendesk${suffix}` } };
  return {
    IntegrationRef: integrations,
    ConnectorRef: [{ id: ids.connector }, connector, { inIntegration: { integration: byId, name: `zendesk${suffix}` } }],
    EndUserRef: [
      { id: ids.endUser },
      { inIntegration: { integration: byName, externalId: `ada${suffix}` } },
      { inIntegration: { integration: byId, externalId: `ada${suffix}` } },
    ],
    ConnectionRef: [
      { id: ids.connection },
      { inConnector: { connector: { id: ids.connector }, name: `connection${suffix}`, endUser: { id: ids.endUser } } },
      {
        inConnector: {
          connector,
          name: `connection${suffix}`,
          endUser: { inIntegration: { integration: byName, externalId: `ada${suffix}` } },
        },
      },
      { inIntegration: { integration: byName, name: `support${suffix}` } },
      { inIntegration: { integration: byId, name: `support${suffix}` } },
    ],
  };
}

const VERIFY = `mutation ($endUser: EndUserRef!, $email: String!) {
  setEmailVerified(input: { endUser: $endUser, contactType: REGULAR, email: $email, verified: true }) { ... on SetEmailVerifiedSuccess { endUser { id } } ... on MutationError { code message } }
}`;

/** The id of an entry in the audit log, of what was done so far. */
async function auditEntry(test: TestGateway, caller: Caller): Promise<string> {
  const { data } = await test.answer(caller, '{ auditLog(first: 1) { nodes { id } } }');
  return data?.auditLog.nodes[0].id ?? missingId('auditEntry');
}

/** The id of an event of a connection, which belongs to an integration. */
async function event(test: TestGateway, caller: Caller): Promise<string> {
  const { data } = await test.answer(caller, '{ events(first: 100) { nodes { id objectType } } }');
  return data?.events.nodes.find(({ objectType }: { objectType: string }) => objectType === 'CONNECTION')?.id ?? missingId('event');
}

/** A webhook that nobody receives, and the delivery that failed. */
async function webhook(test: TestGateway, caller: Caller, integration: string): Promise<{ webhook: string; webhookDelivery: string }> {
  const { made } = await test.query(
    caller,
    `mutation ($id: ID!) { made: createWebhook(input: { url: "https://127.0.0.1:1/", integration: { id: $id } }) {
      ... on CreateWebhookSuccess { issued { webhookId } } } }`,
    { id: integration },
  );
  const id = made.issued.webhookId;
  const { tested } = await test.query(
    caller,
    'mutation ($id: ID!) { tested: testWebhook(input: { webhook: $id }) { ... on TestWebhookSuccess { delivery { id } } } }',
    { id },
  );
  return { webhook: id, webhookDelivery: tested.delivery.id };
}

/** An id of the right form that nothing has. */
export function missingId(noun: Noun): string {
  return encodeId(noun, randomBytes(12).toString('hex'));
}

/** The same ways to name an object, naming none: every id and every name in them is replaced, but for those that there are. */
export function missingLike(ref: object, there: ReadonlySet<string> = new Set()): object {
  const replaced = Object.entries(ref).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'object' && value !== null) return [name, missingLike(value, there)];
    if (there.has(String(value))) return [name, value];
    return [name, name === 'id' ? missingId(nounOfId(String(value))) : `missing-${randomBytes(4).toString('hex')}`];
  });
  return Object.fromEntries(replaced);
}

export function nounOfId(id: string): Noun {
  return parseId(id)!.noun;
}
