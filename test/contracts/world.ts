import { randomBytes } from 'node:crypto';
import type { Noun } from '../../src/access/scopes.ts';
import { errorCodes } from '../../src/errors.ts';
import { encodeId, parseId } from '../../src/schema/kit/global-id.ts';
import { type Answer, type Caller, type Json, type TestGateway, useTestGateway as useAnyTestGateway } from '../harness.ts';

/** An organization with one or more of everything, each of them bound to the others where it can be. */
export interface World {
  readonly caller: Caller;
  /** A global id of each noun. */
  readonly ids: Readonly<Record<Noun, string>>;
  /** Another global id of some nouns. */
  readonly more: { readonly certificate: string; readonly client: string; readonly jwt: string; readonly endUserCredential: string };
  /** Every way to name an object, by the name of the input type that takes it. */
  readonly refs: Readonly<Record<string, readonly object[]>>;
}

export const emailOfContact = 'ada@example.com';

export async function makeWorld(test: TestGateway, organization = test.newOrganization()): Promise<World> {
  const caller = { organization };
  const word = randomBytes(6).toString('hex');
  const integrationName = `integration-${word}`;
  const integration = { name: integrationName };
  const { id: integrationId } = await test.create(caller, 'Integration', { name: integrationName, description: 'A world.' });
  const credential = async (name: string, data: object, more: object = {}) =>
    (await test.create(caller, 'Credential', { integration, name: `${name}-${word}`, data, ...more })).id;
  const own = await credential('own', { basicAuth: { username: 'ada', password: `own-${word}` } });
  const client = await credential('client', {
    oauth2Client: { clientId: 'c', clientSecret: word, tokenUrl: 'https://auth.example.com/token' },
  });
  const certificate = await credential('certificate', { string: { value: word } });
  const jwt = await credential('jwt', { jwt: { algorithm: 'HS256', secret: `a shared secret of thirty-two bytes ${word}` } });
  const oauth2 = {
    grant: 'CLIENT_CREDENTIALS',
    tokenUrl: 'https://auth.example.com/token',
    clientCredentialId: client,
    mtlsCredentialId: certificate,
  };
  const authSchemes = [{ id: 'oauth', schemeType: 'OAUTH2', oauth2 }];
  const connectorName = `connector-${word}`;
  const { id: connectorId } = await test.create(caller, 'Connector', {
    integration,
    name: connectorName,
    baseUrl: 'https://api.example.com',
    authSchemes,
  });
  const externalId = `external-${word}`;
  const endUserInput = {
    integration,
    externalId,
    displayName: `End user ${word}`,
    contacts: [{ type: 'REGULAR', name: 'Ada', email: emailOfContact }],
  };
  const { id: endUserId } = await test.create(caller, 'EndUser', endUserInput);
  await test.query(caller, VERIFY, { endUser: { id: endUserId }, email: emailOfContact });
  const endUser = { id: endUserId };
  const endUserCredential = await credential('end-user', { apiKey: { headerName: 'X-Key', apiKey: word } }, { endUser });
  const connectionName = `connection-${word}`;
  const { id: connectionId } = await test.create(caller, 'Connection', {
    integration,
    connector: { id: connectorId },
    endUser,
    name: connectionName,
    actionCredentials: [{ credential: { id: own }, authScheme: authSchemes[0] }, { credential: { id: endUserCredential } }],
    triggerCredentials: [{ credential: { id: own } }],
    variables: [{ name: 'region', value: 'eu' }],
  });
  await test.create(caller, 'Connection', {
    integration,
    name: `zendesk-${word}`,
    allowedDomain: 'acme.zendesk.com',
    actionCredentials: [{ credential: { id: jwt } }],
  });
  return {
    caller,
    ids: {
      integration: integrationId,
      connector: connectorId,
      endUser: endUserId,
      connection: connectionId,
      credential: own,
      apiKey: (await test.makeAPIKey(caller, { scopes: ['apiKeys.post'] })).id,
      auditEntry: await auditEntry(test, caller),
    },
    more: { certificate, client, jwt, endUserCredential },
    refs: {
      IntegrationRef: [{ id: integrationId }, integration],
      ConnectorRef: [
        { id: connectorId },
        { inIntegration: { integration, name: connectorName } },
        { inIntegration: { integration: { id: integrationId }, name: connectorName } },
      ],
      EndUserRef: [
        { id: endUserId },
        { inIntegration: { integration, externalId } },
        { inIntegration: { integration: { id: integrationId }, externalId } },
      ],
      ConnectionRef: [
        { id: connectionId },
        { inConnector: { connector: { id: connectorId }, name: connectionName } },
        { inConnector: { connector: { inIntegration: { integration, name: connectorName } }, name: connectionName } },
        { inIntegration: { integration, name: `zendesk-${word}` } },
        { inIntegration: { integration: { id: integrationId }, name: `zendesk-${word}` } },
      ],
    },
  };
}

/** A world within a world: a new end user of its integration, with one of everything that an end user can have, and a token. */
export async function endUserWorld(test: TestGateway, { caller, ids, refs }: World): Promise<World> {
  const word = randomBytes(6).toString('hex');
  const integration = { id: ids.integration };
  const externalId = `external-${word}`;
  const contacts = [{ type: 'REGULAR', name: 'Ada', email: emailOfContact }];
  const endUser = { id: (await test.create(caller, 'EndUser', { integration, externalId, contacts })).id };
  const own = { ...caller, token: await test.makeEndUserToken(caller, endUser, { scopes: ['all.Organization'] }) };
  const credential = async (name: string, data: object) =>
    (await test.create(own, 'Credential', { integration, name: `${name}-${word}`, data })).id;
  const credentialId = await credential('own', { basicAuth: { username: 'ada', password: `own-${word}` } });
  const connector = { id: ids.connector };
  const connectionName = `connection-${word}`;
  const actionCredentials = [{ credential: { id: credentialId } }];
  const { id: connectionId } = await test.create(own, 'Connection', { integration, connector, name: connectionName, actionCredentials });
  return {
    caller: own,
    ids: { ...ids, endUser: endUser.id, connection: connectionId, credential: credentialId },
    more: {
      certificate: await credential('certificate', { string: { value: word } }),
      client: await credential('client', {
        oauth2Client: { clientId: 'c', clientSecret: word, tokenUrl: 'https://auth.example.com/token' },
      }),
      jwt: await credential('jwt', { jwt: { algorithm: 'HS256', secret: `a shared secret of thirty-two bytes ${word}` } }),
      endUserCredential: await credential('end-user', { apiKey: { headerName: 'X-Key', apiKey: word } }),
    },
    refs: {
      ...refs,
      EndUserRef: [endUser, { inIntegration: { integration, externalId } }],
      ConnectionRef: [{ id: connectionId }, { inConnector: { connector, name: connectionName } }],
    },
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

/** What left the gateway, but for what is different each time. Two answers that equal each other in this tell nothing apart. */
export function comparable({ status, text, headers }: Answer): Json {
  const changing = /^(x-request-id|date|ratelimit.*|retry-after)$/;
  const { extensions: _, ...body } = JSON.parse(text);
  return {
    status,
    body: JSON.stringify(body),
    headers: [...headers].filter(([name]) => !changing.test(name) && name !== 'content-length'),
  };
}

/** Everything that the database holds of an organization; of all, unless told which. What refused requests leave behind is left out. */
export async function contents(test: TestGateway, organization?: string): Promise<Record<string, Json[]>> {
  const collections = await test.database.listCollections({}, { nameOnly: true }).toArray();
  const names = collections.map(({ name }) => name).filter((name) => !/^(audit|rateLimit)/.test(name));
  const filter = organization === undefined ? {} : { organizationId: organization };
  const read = async (name: string) => [name, await test.database.collection(name).find(filter).sort({ _id: 1 }).toArray()] as const;
  return Object.fromEntries(await Promise.all(names.sort().map(read)));
}

/** The codes that an answer holds: of its errors, and of the results of its mutations. */
export function codesOf({ data, errors = [] }: Pick<Answer, 'data' | 'errors'>): string[] {
  const results: Json[] = Object.values(data ?? {});
  const ofResults = results
    .filter((result) => typeof result?.code === 'string' && typeof result?.message === 'string')
    .map(({ code }) => code);
  return [...errors.map(({ extensions }) => extensions?.code), ...ofResults];
}

/** A gateway for the tests of a file. Whatever they ask, no answer holds a code that is not among those that are written down. */
export function useTestGateway(): TestGateway {
  const test = useAnyTestGateway();
  const send = test.send.bind(test);
  test.send = async (...args) => {
    const answer = await send(...args);
    for (const code of codesOf(answer)) if (!(code in errorCodes)) throw new Error(`The code ${code} is none.\n${answer.text}`);
    return answer;
  };
  return test;
}
