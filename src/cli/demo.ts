import cliProgress from 'cli-progress';
import { grantableScopes } from '../access/scopes.ts';
import type { Viewer } from '../access/viewer.ts';
import { ConfigError } from '../config.ts';
import type { CredentialKind } from '../credential-kinds/define.ts';
import { builtInKinds } from '../credential-kinds/index.ts';
import type { Gateway } from '../gateway.ts';
import { count } from './keys.ts';

const INTEGRATION = 'demo';
const kinds = builtInKinds.filter(({ refusal }) => refusal === undefined);
/** The number of mutations that run concurrently. */
const CONCURRENCY = 16;
const CONNECTIONS_PER_END_USER = 3;

const services = ['Zendesk', 'Salesforce', 'HubSpot', 'Slack', 'GitHub', 'Stripe', 'Shopify', 'Jira', 'Snowflake', 'Twilio'];
const places = ['Amsterdam', 'Bergen', 'Cork', 'Dresden', 'Espoo', 'Faro', 'Genoa', 'Haifa', 'Izmir', 'Jena', 'Krakow', 'Lyon', 'Malmo'];
const trades = ['Bakery', 'Cycles', 'Dairy', 'Electric', 'Freight', 'Garden', 'Hotels', 'Insurance', 'Joinery', 'Kitchens', 'Logistics'];
const people = ['Ada Lovelace', 'Grace Hopper', 'Alan Turing', 'Edsger Dijkstra', 'Barbara Liskov', 'Donald Knuth', 'Radia Perlman'];

/**
 * Fills an organization through the GraphQL API: creates an integration, connectors, end users, and connections with credentials of all
 * kinds, from the examples in their descriptors. Running it again adds more. Prints what it does and, at the end, what it has created.
 * @throws ConfigError when the organization was deleted, is not allowed to store more, or the database does not respond
 */
export async function demo(gateway: Gateway, organization: string, connections: number, print: (line: string) => void): Promise<void> {
  const viewer: Viewer = { organizationId: organization, kind: 'token', subject: 'demo', scopes: new Set(grantableScopes) };
  /** The numbers of created records by noun. What an earlier run has created is not created again. */
  const created: Record<string, number> = {};
  const run = async (field: string, input: object): Promise<Record<string, unknown>> => {
    const type = `${field[0]!.toUpperCase()}${field.slice(1)}`;
    const noun = field.replace(/^create/, '').replace(/^./, (letter) => letter.toLowerCase());
    const query = `mutation ($input: ${type}Input!) { ${field}(input: $input) { ... on ${type}Success { ${noun} { id } } ... on MutationError { code message } } }`;
    const { data, errors } = await gateway.execute({ query, variables: { input }, viewer });
    const result = data?.[field] as Record<string, unknown> | undefined;
    const messages = errors?.map(({ message }) => message).join(' ');
    // Our own input is valid. What else is refused is not a bug: the organization may not store more, or the database does not respond.
    const isBug = (code: unknown) => code === 'INTERNAL_SERVER_ERROR' || code === 'BAD_USER_INPUT' || code === 'VALIDATION_FAILED';
    if (errors?.some(({ extensions }) => extensions.code === 'UNAUTHENTICATED')) {
      throw new ConfigError('The organization was deleted, and its name cannot be used again.');
    }
    if (!result) {
      throw errors?.some(({ extensions }) => isBug(extensions.code))
        ? new Error(`${field} failed: ${messages}`)
        : new ConfigError(messages!);
    }
    if (!result.code) created[noun] = (created[noun] ?? 0) + 1;
    else if (isBug(result.code)) throw new Error(`${field} failed: ${result.message}`);
    else if (result.code !== 'CONFLICT') throw new ConfigError(String(result.message));
    return result;
  };
  const each = async (count: number, make: (index: number) => Promise<unknown>) => {
    let next = 0;
    const worker = async () => {
      while (next < count) {
        await make(next++).catch((error) => {
          next = count; // the others stop, too
          throw error;
        });
      }
    };
    const results = await Promise.allSettled(Array.from({ length: Math.min(CONCURRENCY, count) }, worker));
    const failed = results.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed) throw failed.reason;
  };
  const integration = { name: INTEGRATION };
  // Makes the names of each run unique.
  const batch = Date.now().toString(36);

  print(`Creating ${count(connections, 'connection')} with credentials of all kinds in the integration ${INTEGRATION} of ${organization}.`);
  await run('createIntegration', { ...integration, description: 'Sample data.' });
  await each(services.length, (index) => run('createConnector', connectorInput(services[index]!, integration)));
  const endUserIds: string[] = [];

  const endUsers = Math.ceil(connections / CONNECTIONS_PER_END_USER);
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {percentage}% | {value}/{total} connections | {duration_formatted}', noTTYOutput: false, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  await each(endUsers, async (index) => {
    const { endUser } = await run('createEndUser', endUserInput(index, batch, integration));
    endUserIds[index] = (endUser as { id: string }).id;
  });
  bar.start(connections, 0);
  await each(connections, async (index) => {
    await run('createConnection', connectionInput(index, batch, integration, endUserIds[Math.floor(index / CONNECTIONS_PER_END_USER)]!));
    bar.increment();
  });
  bar.stop();
  const { integration: integrations = 0, connector = 0, endUser = 0, connection = 0 } = created;
  print(
    `Created: ${count(integrations, 'integration')}, ${count(connector, 'connector')}, ${count(endUser, 'end user')} and ${count(connection, 'connection')} with ${count(credentialCount(connections), 'credential')}.`,
  );
}

/** The number of credentials of a number of connections. */
function credentialCount(connections: number): number {
  return Array.from({ length: connections }, (_, index) => kindsOf(index).length).reduce((sum, each) => sum + each, 0);
}

/** The kinds of the credentials of a connection. */
function kindsOf(index: number): CredentialKind[] {
  return [pick(kinds, index), ...(index % 4 === 0 ? [pick(kinds, index + 7)] : [])];
}

function connectorInput(service: string, integration: object) {
  const host = `${service.toLowerCase()}.example.com`;
  return {
    integration,
    name: service,
    baseUrl: `https://api.${host}`,
    description: `${service}’s API.`,
    authSchemes: [
      { schemeId: 'key', schemeType: 'API_KEY', apiKey: { name: 'X-Api-Key', in: 'HEADER' } },
      {
        schemeId: 'oauth',
        schemeType: 'OAUTH2',
        oauth2: {
          grant: 'AUTHORIZATION_CODE',
          authorizeUrl: `https://${host}/authorize`,
          tokenUrl: `https://${host}/token`,
          scopes: [{ name: 'read', value: 'Read everything.' }],
          defaultScopes: ['read'],
        },
      },
    ],
  };
}

function endUserInput(index: number, batch: string, integration: object) {
  const displayName = `${pick(places, index)} ${pick(trades, Math.floor(index / places.length))}`;
  const domain = `${displayName.toLowerCase().replace(' ', '-')}.example`;
  return {
    integration,
    externalId: `customer-${batch}-${index + 1}`,
    displayName,
    contacts: [
      { type: 'REGULAR', name: pick(people, index), email: `hello@${domain}`, phone: '+31 20 555 0100' },
      { type: 'BILLING', email: `billing@${domain}` },
    ],
  };
}

function connectionInput(index: number, batch: string, integration: object, endUserId: string) {
  const service = pick(services, index);
  return {
    integration,
    connector: { inIntegration: { integration, name: service } },
    endUser: { id: endUserId },
    name: `${service} ${batch}-${index + 1}`,
    allowedDomain: `${service.toLowerCase()}.example.com`,
    variables: [{ name: 'region', value: index % 2 === 0 ? 'eu' : 'us' }],
    actionCredentials: kindsOf(index).map((each) => ({ credential: { create: newCredential(each, service) } })),
  };
}

function newCredential(kind: CredentialKind, service: string) {
  const data = Object.fromEntries(Object.entries(kind.fields).map(([name, { example }]) => [name, example]));
  return { name: `${service} ${kind.kind}`, allowedDomains: [`${service.toLowerCase()}.example.com`], data: { [kind.kind]: data } };
}

function pick<T>(items: readonly T[], index: number): T {
  return items[index % items.length]!;
}
