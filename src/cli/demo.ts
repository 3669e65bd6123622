import cliProgress from 'cli-progress';
import { grantableScopes } from '../access/scopes.ts';
import type { Viewer } from '../access/viewer.ts';
import { ConfigError } from '../config/index.ts';
import type { CredentialKind } from '../credential-kinds/define.ts';
import { builtInKinds } from '../credential-kinds/index.ts';
import { UnauthenticatedError } from '../errors.ts';
import type { Gateway } from '../gateway/index.ts';
import { count } from './messages.ts';

const INTEGRATION = 'demo';
const kinds = builtInKinds.filter(({ refusal }) => refusal === undefined);
/** The number of imports that run at the same time. */
const CONCURRENCY = 2;
/** The number of connections in one import: one transaction, and well within the limit of the cost, also with the keys of some kinds. */
const CONNECTIONS_PER_IMPORT = 100;
const CONNECTIONS_PER_END_USER = 3;

const services = ['Zendesk', 'Salesforce', 'HubSpot', 'Slack', 'GitHub', 'Stripe', 'Shopify', 'Jira', 'Snowflake', 'Twilio'];
const places = ['Amsterdam', 'Bergen', 'Cork', 'Dresden', 'Espoo', 'Faro', 'Genoa', 'Haifa', 'Izmir', 'Jena', 'Krakow', 'Lyon', 'Malmo'];
const trades = ['Bakery', 'Cycles', 'Dairy', 'Electric', 'Freight', 'Garden', 'Hotels', 'Insurance', 'Joinery', 'Kitchens', 'Logistics'];
const people = ['Ada Lovelace', 'Grace Hopper', 'Alan Turing', 'Edsger Dijkstra', 'Barbara Liskov', 'Donald Knuth', 'Radia Perlman'];

/**
 * Fills an organization: creates an integration, connectors and end users, as `import` does, and connections with credentials of all kinds by
 * `importConnections`, from the examples in their descriptors. Running it again adds more. Prints what it does and, at the end, what it has created.
 * @throws ConfigError when the organization was deleted, is not allowed to store more, or the database does not respond
 */
export async function demo(gateway: Gateway, organization: string, connections: number, print: (line: string) => void): Promise<void> {
  const viewer: Viewer = { organizationId: organization, kind: 'token', subject: 'demo', scopes: new Set(grantableScopes) };
  // Makes the names of each run unique.
  const batch = Date.now().toString(36);
  print(`Creating ${count(connections, 'connection')} with credentials of all kinds in the integration ${INTEGRATION} of ${organization}.`);

  /** Imports lines, and returns how many records were created: what an earlier run has created is not created again. */
  const create = async (lines: Iterable<object>): Promise<number> => {
    async function* texts() {
      for (const line of lines) yield JSON.stringify(line);
    }
    const onProblem = (_line: number, message: string) => {
      throw new ConfigError(`${message[0]!.toUpperCase()}${message.slice(1)}`);
    };
    try {
      return (await gateway.transfer.importLines(organization, texts(), { onProblem })).counts.CREATED;
    } catch (error) {
      throw error instanceof UnauthenticatedError
        ? new ConfigError('The organization was deleted, and its name cannot be used again.')
        : error;
    }
  };
  const integrations = await create([{ type: 'integration', name: INTEGRATION, description: 'Sample data.' }]);
  const connectors = await create(services.map(connectorLine));
  const endUserCount = Math.ceil(connections / CONNECTIONS_PER_END_USER);
  const endUsers = await create(
    (function* () {
      for (let index = 0; index < endUserCount; index++) yield endUserLine(index, batch);
    })(),
  );

  const bar = new cliProgress.SingleBar(
    { format: '{bar} {percentage}% | {value}/{total} connections | {duration_formatted}', noTTYOutput: false, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  bar.start(connections, 0);
  let next = 0;
  let created = 0;
  /** While one import waits for the database, another one is prepared. */
  const worker = async () => {
    while (next < connections) {
      const from = next;
      next = Math.min(connections, from + CONNECTIONS_PER_IMPORT);
      const items = Array.from({ length: next - from }, (_, index) => connectionInput(from + index, batch));
      const imported = await importAll(gateway, viewer, items);
      created += imported;
      bar.increment(items.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } finally {
    bar.stop();
    // The others stop, too.
    next = connections;
  }
  print(
    `Created: ${count(integrations, 'integration')}, ${count(connectors, 'connector')}, ${count(endUsers, 'end user')} and ${count(created, 'connection')} with ${count(credentialCount(connections), 'credential')}.`,
  );
}

const IMPORT = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
  ... on ImportConnectionsSuccess { imported { createdCount failedCount results { error { code message } } } } ... on MutationError { code message } } }`;

/** Imports connections by the GraphQL API. Returns how many were created. @throws ConfigError */
async function importAll(gateway: Gateway, viewer: Viewer, connections: readonly object[]): Promise<number> {
  const variables = { input: { integration: { name: INTEGRATION }, connections } };
  const { data, errors } = await gateway.execute({ query: IMPORT, variables, viewer });
  const result = data?.result as
    | {
        code?: string;
        message?: string;
        imported?: { createdCount: number; results: { error: { code: string; message: string } | null }[] };
      }
    | undefined;
  const [failure] = [
    ...(errors ?? []).map(({ message, extensions }) => ({ message, code: extensions.code })),
    ...(result?.imported?.results ?? []).flatMap(({ error }) => error ?? []),
    ...(result?.code === undefined ? [] : [{ code: result.code, message: result.message! }]),
  ];
  if (!failure) return result!.imported!.createdCount;
  // Our own input is valid. What else is refused is not a bug: the organization may not store more, or the database does not respond.
  const isBug = ['INTERNAL_SERVER_ERROR', 'BAD_USER_INPUT', 'VALIDATION_FAILED'].includes(String(failure.code));
  throw isBug ? new Error(`importConnections failed: ${failure.message}`) : new ConfigError(failure.message);
}

/** The number of credentials of a number of connections. */
function credentialCount(connections: number): number {
  return Array.from({ length: connections }, (_, index) => kindsOf(index).length).reduce((sum, each) => sum + each, 0);
}

/** The kinds of the credentials of a connection. */
function kindsOf(index: number): CredentialKind[] {
  return [pick(kinds, index), ...(index % 4 === 0 ? [pick(kinds, index + 7)] : [])];
}

function connectorLine(service: string) {
  const host = `${service.toLowerCase()}.example.com`;
  return {
    type: 'connector',
    integration: INTEGRATION,
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

function endUserLine(index: number, batch: string) {
  const displayName = `${pick(places, index)} ${pick(trades, Math.floor(index / places.length))}`;
  const domain = `${displayName.toLowerCase().replace(' ', '-')}.example`;
  return {
    type: 'endUser',
    integration: INTEGRATION,
    externalId: externalIdOf(index, batch),
    displayName,
    contacts: [
      { type: 'REGULAR', name: pick(people, index), email: `hello@${domain}`, phone: '+31 20 555 0100' },
      { type: 'BILLING', email: `billing@${domain}` },
    ],
  };
}

function externalIdOf(index: number, batch: string): string {
  return `customer-${batch}-${index + 1}`;
}

function connectionInput(index: number, batch: string) {
  const integration = { name: INTEGRATION };
  const service = pick(services, index);
  return {
    connector: { inIntegration: { integration, name: service } },
    endUser: { inIntegration: { integration, externalId: externalIdOf(Math.floor(index / CONNECTIONS_PER_END_USER), batch) } },
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
