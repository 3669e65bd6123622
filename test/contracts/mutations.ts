import { type BoundWorld, emailOfContact } from '../world.ts';
import { issuer } from './service.ts';

type Input = Readonly<Record<string, unknown>>;

const oauth2 = {
  grant: 'AUTHORIZATION_CODE',
  authorizeUrl: 'https://auth.example.com/authorize',
  tokenUrl: 'https://auth.example.com/token',
};
let made = 0;

/** What succeeds only after a user has consented at a service: test/services/authorization.test.ts. */
export const needsConsent: readonly string[] = ['completeAuthorization'];

/**
 * For each mutation, an input that succeeds once in a world, with every reference filled in that there is. A mutation that is not here fails
 * the tests that walk the schema, and so does a place for a reference that is left out.
 */
export const validInputs: Readonly<Record<string, (world: BoundWorld) => Input>> = {
  createIntegration: () => ({ name: newName() }),
  updateIntegration: ({ ids }) => ({ integration: { id: ids.integration }, description: newName() }),
  deleteIntegration: ({ ids }) => ({ integration: { id: ids.integration }, force: true }),

  createConnector: (world) => ({ ...connectorChanges(world), integration: { id: world.ids.integration } }),
  updateConnector: (world) => ({ ...connectorChanges(world), connector: { id: world.ids.connector } }),
  discoverConnector: ({ ids }) => ({ connector: { id: ids.connector }, issuer }),
  startAuthorization: ({ ids }) => ({
    connector: { id: ids.connector },
    authSchemeId: 'oauth',
    connection: { id: ids.connection },
    endUser: { id: ids.endUser },
    returnTo: 'https://app.example.com/',
  }),
  completeAuthorization: ({ ids }) => ({ state: newName(), code: newName(), endUser: { id: ids.endUser } }),
  deleteConnector: ({ ids }) => ({ connector: { id: ids.connector }, force: true }),

  createEndUser: ({ ids }) => ({ integration: { id: ids.integration }, externalId: newName() }),
  upsertEndUser: ({ ids }) => ({ integration: { id: ids.integration }, externalId: newName(), displayName: newName() }),
  updateEndUser: ({ ids }) => ({ endUser: { id: ids.endUser }, displayName: newName(), primaryConnection: { id: ids.connection } }),
  deleteEndUser: ({ ids }) => ({ endUser: { id: ids.endUser }, force: true }),
  setEmailVerified: ({ ids }) => ({ endUser: { id: ids.endUser }, contactType: 'REGULAR', email: emailOfContact, verified: false }),
  createSSOLink: (world) => ({
    endUser: { id: world.ids.endUser },
    contactType: 'REGULAR',
    // The one with the allowed domain, and without a connector.
    connection: world.refs.ConnectionRef!.find((ref) => 'inIntegration' in ref),
  }),

  createConnection: (world) => ({
    ...connectionChanges(world),
    integration: { id: world.ids.integration },
    connector: { id: world.ids.connector },
    endUser: { id: world.ids.endUser },
  }),
  upsertConnection: (world) => ({
    ...connectionChanges(world),
    integration: { id: world.ids.integration },
    connector: { id: world.ids.connector },
    endUser: { id: world.ids.endUser },
  }),
  importConnections: (world) => ({
    integration: { id: world.ids.integration },
    connections: [{ ...connectionChanges(world), connector: { id: world.ids.connector }, endUser: { id: world.ids.endUser } }],
  }),
  updateConnection: (world) => ({ ...connectionChanges(world), connection: { id: world.ids.connection } }),
  addConnectionCredential: ({ ids, more }) => ({
    connection: { id: ids.connection },
    list: 'ACTION',
    ...binding(ids.credential, more, newName()),
  }),
  // The list can have the credential several times, and has it at this position from the beginning.
  removeConnectionCredential: ({ ids }) => ({
    connection: { id: ids.connection },
    list: 'ACTION',
    credential: ids.credential,
    position: 0,
  }),
  moveConnectionCredential: ({ ids }) => ({
    connection: { id: ids.connection },
    list: 'ACTION',
    credential: ids.credential,
    position: 0,
    to: 0,
  }),
  checkConnection: ({ ids }) => ({ connection: { id: ids.connection } }),
  authorizeRequest: ({ refs }) => ({
    // The one that leads to a host. An end user can name none of the organization's.
    connection: refs.ConnectionRef!.find((ref) => 'inIntegration' in ref) ?? refs.ConnectionRef![0],
    purpose: 'TRIGGER',
    method: 'GET',
    url: 'https://acme.zendesk.com/api/v2/users.json',
  }),
  deleteConnection: ({ ids }) => ({ connection: { id: ids.connection } }),

  createCredential: ({ ids }) => ({ ...newCredential(), integration: { id: ids.integration }, endUser: { id: ids.endUser } }),
  updateCredential: ({ ids }) => ({ credential: ids.credential, data: { basicAuth: { password: newName() } } }),
  checkCredential: ({ ids }) => ({ credential: ids.credential }),
  deleteCredential: ({ ids }) => ({ credential: ids.credential, force: true, revoke: true }),
  refreshCredential: ({ more }) => ({ credential: more.tokens }),
  revealSecret: ({ ids }) => ({ credential: ids.credential, field: 'password', reason: 'the test looks' }),

  createAPIKey: ({ ids }) => ({ name: newName(), scopes: ['credentials.get'], integration: { id: ids.integration } }),
  rotateAPIKey: ({ ids }) => ({ apiKey: ids.apiKey }),
  revokeAPIKey: ({ ids }) => ({ apiKey: ids.apiKey }),
  createWebhook: ({ ids }) => ({ url: 'https://hooks.example.com/events', types: ['DELETED'], integration: { id: ids.integration } }),
  updateWebhook: ({ ids }) => ({ webhook: ids.webhook, url: `https://hooks.example.com/${newName()}`, types: ['CREATED'] }),
  rotateWebhookSecret: ({ ids }) => ({ webhook: ids.webhook }),
  resumeWebhook: ({ ids }) => ({ webhook: ids.webhook }),
  redeliver: ({ ids }) => ({ webhook: ids.webhook, redelivery: { event: ids.event } }),
  testWebhook: ({ ids }) => ({ webhook: ids.webhook }),
  deleteWebhook: ({ ids }) => ({ webhook: ids.webhook }),
  createEndUserToken: ({ ids }) => ({ endUser: { id: ids.endUser } }),
  // Long ago: the tests go on with tokens of this subject.
  revokeTokens: () => ({ subject: newName(), before: '2001-01-01T00:00:00.000Z', apiKeys: true }),
  revokeEndUserTokens: ({ ids }) => ({ endUser: { id: ids.endUser }, before: '2001-01-01T00:00:00.000Z' }),
};

function connectorChanges({ more }: BoundWorld) {
  const settings = {
    ...oauth2,
    clientCredentialId: more.client,
    mtlsCredentialId: more.certificate,
    privateKeyCredentialId: more.certificate,
  };
  return {
    name: newName(),
    baseUrl: 'https://api.example.com',
    check: { method: 'GET', path: '/v1/me', expectedStatus: 204 },
    authSchemes: [{ schemeId: 'oauth', schemeType: 'OAUTH2', oauth2: settings }],
  };
}

function connectionChanges({ ids, more }: BoundWorld) {
  const bindings = [binding(ids.credential, more, 'oauth'), { credential: { create: newCredential() } }];
  return { name: newName(), actionCredentials: bindings, triggerCredentials: bindings };
}

function binding(id: string, { client, certificate }: BoundWorld['more'], schemeId: string) {
  const settings = { ...oauth2, clientCredentialId: client, mtlsCredentialId: certificate, privateKeyCredentialId: certificate };
  return { credential: { id }, authScheme: { schemeId, schemeType: 'OAUTH2', oauth2: settings } };
}

function newCredential() {
  return {
    name: newName(),
    allowedDomains: ['api.example.com', 'auth.example.com'],
    allowedPurposes: ['SSO_SIGNING'],
    data: { basicAuth: { username: 'ada', password: newName() } },
  };
}

/** A name that nothing has. */
export function newName(): string {
  return `made-${++made}-${Math.random().toString(36).slice(2)}`;
}

/** The arguments of a mutation in a world, or what to do about their lack. */
export function argumentsIn(world: BoundWorld, mutation: string): { readonly input: Input } {
  const make = validInputs[mutation];
  if (!make)
    throw new Error(`Give ${mutation} an input in test/contracts/mutations.ts: everything that holds for all mutations is tested with it.`);
  return { input: make(world) };
}
