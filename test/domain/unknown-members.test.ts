import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as apiKeys from '../../src/domain/api-key.ts';
import * as authorizations from '../../src/domain/authorization.ts';
import * as authorizedRequests from '../../src/domain/authorize-request.ts';
import * as checks from '../../src/domain/check.ts';
import * as connections from '../../src/domain/connection.ts';
import * as connectionImports from '../../src/domain/connection-import.ts';
import * as connectors from '../../src/domain/connector.ts';
import * as credentials from '../../src/domain/credential.ts';
import * as endUsers from '../../src/domain/end-user.ts';
import * as endUserTokens from '../../src/domain/end-user-token.ts';
import * as integrations from '../../src/domain/integration.ts';
import { createKeyTurns } from '../../src/domain/key-turns.ts';
import { defaultPolicy } from '../../src/domain/policy.ts';
import * as refreshing from '../../src/domain/refresh-credential.ts';
import * as revocations from '../../src/domain/revocation.ts';
import * as ssoLinks from '../../src/domain/sso-link.ts';
import * as webhooks from '../../src/domain/webhook.ts';
import { GatewayError, ValidationError } from '../../src/errors.ts';
import { Redacted } from '../../src/redacted.ts';
import { kindRegistry } from '../kinds.ts';

// The compiler lets pass a member that nobody reads, when it comes by a spread. What a caller wrote must not be dropped in silence: the
// domain refuses what it does not know, before it reads or writes anything.

const modules = {
  apiKeys,
  authorizations,
  authorizedRequests,
  connectionImports,
  checks,
  connections,
  connectors,
  credentials,
  endUserTokens,
  endUsers,
  integrations,
  refreshing,
  revocations,
  ssoLinks,
  webhooks,
};
const functions = new Map(Object.values(modules).flatMap((module) => Object.entries(module as Record<string, unknown>)));

/** Stands for the store: whoever asks it for anything has read the input already. */
const store: unknown = new Proxy(() => {}, {
  get: () => store,
  apply: () => {
    throw new GatewayError('UNAVAILABLE', 'The store was asked.');
  },
});
const context = {
  viewer: { organizationId: 'o', kind: 'token', subject: 's', scopes: new Set(['all.Organization', 'apiKeys.post']) },
  now: () => new Date(),
  kinds: kindRegistry,
  policy: { ...defaultPolicy, publicUrl: 'https://gateway.example' },
  // The inputs contain no keys to read.
  keyFiles: () => ({}),
  events: { prepare: async () => {} },
  revocations: createKeyTurns(),
  store,
};

const ref = { id: 'x' };
/** What a kind does not know is refused where it is written: test/credential-kinds/contract.test.ts. */
const ofKind = { username: 'ada', password: new Redacted('pw') };
const data = { basicAuth: ofKind };
const scheme = { schemeId: 's', schemeType: 'API_KEY', apiKey: { name: 'X-Key', in: 'HEADER' } };
const binding = { credential: { id: 'x' }, authScheme: scheme };

/** For each function of the domain that a mutation runs, an input that is right, and the objects in it that hold members. */
const inputs: Readonly<Record<string, Record<string, unknown>>> = {
  createIntegration: { name: 'n', ssoClaims: { userFields: [{ name: 'f' }] } },
  updateIntegration: { integration: ref, ssoClaims: { userFields: [{ name: 'f' }] } },
  deleteIntegration: { integration: ref },
  createConnector: { integration: ref, name: 'n', baseUrl: 'https://api.example.com', authSchemes: [scheme] },
  updateConnector: { connector: ref, authSchemes: [scheme] },
  deleteConnector: { connector: ref },
  discoverConnector: { connector: ref, issuer: 'https://issuer.example.com' },
  startAuthorization: { connector: ref, connection: ref, endUser: ref, additionalParams: [{ name: 'n', value: 'v' }] },
  completeAuthorization: { state: new Redacted('s'), code: new Redacted('c'), endUser: ref },
  createEndUser: { integration: ref, externalId: 'e', contacts: [{ type: 'BILLING' }] },
  upsertEndUser: { integration: ref, externalId: 'e', contacts: [{ type: 'BILLING' }] },
  updateEndUser: { endUser: ref, contacts: [{ type: 'BILLING' }] },
  setEmailVerified: { endUser: ref, contactType: 'BILLING', email: 'a@example.com', verified: true },
  deleteEndUser: { endUser: ref },
  createConnection: {
    integration: ref,
    name: 'n',
    variables: [{ name: 'v', value: '' }],
    actionCredentials: [binding, { credential: { create: { name: 'n', data } } }],
  },
  upsertConnection: {
    integration: ref,
    name: 'n',
    variables: [{ name: 'v', value: '' }],
    actionCredentials: [binding, { credential: { create: { name: 'n', data } } }],
  },
  importConnections: {
    integration: ref,
    connections: [
      {
        name: 'n',
        variables: [{ name: 'v', value: '' }],
        actionCredentials: [binding, { credential: { create: { name: 'n', data } } }],
      },
    ],
  },
  updateConnection: { connection: ref, variables: [{ name: 'v', value: '' }], triggerCredentials: [binding] },
  addConnectionCredential: { connection: ref, list: 'ACTION', ...binding },
  removeConnectionCredential: { connection: ref, list: 'ACTION', credential: 'x' },
  moveConnectionCredential: { connection: ref, list: 'ACTION', credential: 'x', to: 0 },
  checkConnection: { connection: ref },
  deleteConnection: { connection: ref },
  createCredential: { integration: ref, name: 'n', data },
  updateCredential: { credential: 'x', data },
  checkCredential: { credential: 'x' },
  deleteCredential: { credential: 'x', revoke: true },
  refreshCredential: { credential: 'x' },
  revealSecret: { credential: 'x', field: 'password', reason: 'the test looks' },
  createAPIKey: { name: 'n', scopes: ['credentials.get'] },
  rotateAPIKey: { apiKey: 'x' },
  revokeAPIKey: { apiKey: 'x' },
  authorizeRequest: { connection: ref, method: 'GET', url: 'https://api.example.com/' },
  createSSOLink: { endUser: ref, contactType: 'BILLING' },
  createWebhook: { url: 'https://a.example/', integration: ref },
  updateWebhook: { webhook: 'x', url: 'https://a.example/' },
  deleteWebhook: { webhook: 'x' },
  rotateWebhookSecret: { webhook: 'x' },
  resumeWebhook: { webhook: 'x' },
  redeliver: { webhook: 'x', redelivery: { event: 'x' } },
  testWebhook: { webhook: 'x' },
  createEndUserToken: { endUser: ref },
  revokeTokens: { subject: 's' },
  revokeEndUserTokens: { endUser: ref },
};

/** The input with an unknown member in one of its objects, for each of them but those that say which record is meant. */
function withUnknown(value: unknown, path: readonly (string | number)[] = []): { at: string; input: unknown }[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) =>
      withUnknown(item, [...path, index]).map(({ at, input }) => ({ at, input: value.with(index, input) })),
    );
  }
  if (typeof value !== 'object' || value === null || value === ref || value === ofKind || value instanceof Redacted) return [];
  const within = Object.entries(value).flatMap(([name, member]) =>
    withUnknown(member, [...path, name]).map(({ at, input }) => ({ at, input: { ...value, [name]: input } })),
  );
  return [{ at: path.join('.') || 'the input', input: { ...value, unknown: 'member' } }, ...within];
}

describe.each(Object.entries(inputs))('%s', (name, input) => {
  const run = functions.get(name) as (context: object, input: unknown) => Promise<unknown>;

  it.each(withUnknown(input))('refuses an unknown member of $at', async ({ at, input: sent }) => {
    const refused = await run(context, sent).catch((error: unknown) => error);
    // The kind of a credential is a member of its data: an unknown one beside it is one too many.
    const isData = at.endsWith('data');
    const message = isData ? 'must have exactly one member, named after the kind' : expect.stringMatching(/^has (members|a field) that/);
    expect(refused).toBeInstanceOf(ValidationError);
    expect((refused as ValidationError).issues).toEqual([{ path: at === 'the input' ? [] : expect.any(Array), message }]);
    expect((refused as ValidationError).issues[0]!.path.join('.') || 'the input').toBe(at);
  });

  it('takes the input without it', async () => {
    await expect(run(context, input)).rejects.toThrow('The store was asked.');
  });
});

it('every mutation is here', () => {
  const schema = new URL('../../src/schema/', import.meta.url);
  const texts = readdirSync(schema)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(new URL(file, schema), 'utf8'));
  const run = texts.flatMap((text) => [...text.matchAll(/\brun: (\w+),/g)].map(([, name]) => name));
  expect([...new Set(run)].sort()).toEqual(Object.keys(inputs).sort());
});
