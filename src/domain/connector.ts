import { ServiceFailedError, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, flag, type InputOf, object, objectList, text, type ValuesOf } from '../fields/field.ts';
import { formats } from '../fields/formats.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import {
  type AuthSchemeInput,
  authScheme,
  credentialsIn,
  credentialsOf,
  refuseOtherTypes,
  refuseSameIds,
  schemeInput,
  toStored,
} from './auth-scheme.ts';
import {
  type Destination,
  destinationsOf,
  holdCredentials,
  type NamedCredential,
  refuseForbiddenDestinations,
  refuseUnknownCredentials,
} from './binding.ts';
import { connectorCheck } from './check.ts';
import type { DomainContext } from './context.ts';
import { isSameScheme, namesIn, putBack, visibilityOf } from './credential-visibility.ts';
import { type Forceable, recordCascades, refuseIfInUse } from './deletion.ts';
import { baseUrlText, descriptionField, type FieldsIn, nameText, urlText } from './fields.ts';
import { beforeChanges, type MutationContext, mutate } from './mutate.ts';
import { asService, oauth2SettingsOf } from './oauth-client.ts';
import { forgetPrimary } from './primary-connection.ts';
import { expectVersion, newRecord, orNameTaken, type Target, updateRecord } from './records.ts';
import { type ConnectorRef, type IntegrationRef, requireConnector, requireIntegration } from './references.ts';
import { Checks } from './validation.ts';

/** The maximum number of auth schemes of a connector. */
const SCHEMES_MAX = 20;

/** The fields of a connector that callers write. */
export const connectorFields = {
  name: text({ ...nameText, description: 'Unique within the integration.' }),
  description: descriptionField,
  baseUrl: text({
    ...baseUrlText,
    description:
      'The absolute URL of the service’s API, http or https, with a host name: an IP address is refused. `{name}` stands for a variable of the connection.',
  }),
  authSchemes: objectList(authScheme, {
    optional: true,
    default: [],
    maxItems: SCHEMES_MAX,
    description: 'How it authenticates, in the given order. Each id is unique within the list.',
  }),
  endUsersMayUseClient: flag({
    optional: true,
    default: false,
    clearable: false,
    description:
      'Matters only if an auth scheme uses a client or a certificate of the integration. Whether the own tokens of end users may then create connections to it, start authorizations, and change the credentials of their connections. If false, tokens and passwords that such a token has written are not sent with the client either. Existing connections are kept.',
  }),
  check: object(connectorCheck, {
    optional: true,
    description: 'How to find out whether a connection works, for `checkConnection`. Null if there is no way.',
  }),
} satisfies FieldsIn<ConnectorRecord>;

/** @throws ValidationError, InvalidIntegrationError, NotFoundError, ConflictError */
export async function createConnector(
  context: MutationContext,
  input: InputOf<typeof connectorFields> & { readonly integration: IntegrationRef },
): Promise<ConnectorRecord> {
  const { store } = context;
  const { integration: ref, ...given } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(connectorFields, given));
  await checks.run(() => refuseSameSchemes(given));
  const change = async () => {
    const { authSchemes: schemes, ...checked } = valid!;
    const authSchemes = schemes.map(toStored);
    const integration = await requireIntegration(context, ref, ['integration']);
    const credentialIds = await hold(context, integration.id, authSchemes);
    await refuseForbiddenDestinations(context, destinations(authSchemes));
    const record = { ...newRecord(context), integrationId: integration.id, ...checked, authSchemes, credentialIds };
    await store.slots.attach(integration.id);
    await orNameTaken('connector', 'integration', () => store.connectors.insert(record));
    await store.slots.open(record.id);
    return record;
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const integration = await checks.run(() => requireIntegration(context, ref, ['integration']));
        await refuseUnknownCredentials(context, integration?.id, namedIn(given.authSchemes ?? []), checks);
      },
    ],
  );
}

/** @throws ValidationError, NotFoundError, ConflictError */
export async function updateConnector(
  context: MutationContext,
  input: Target<'connector', ConnectorRef> & ChangesOf<typeof connectorFields>,
): Promise<ConnectorRecord> {
  const { connector: ref, expectedVersion, ...changes } = input;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkChanges(connectorFields, changes));
  await checks.run(() => refuseSameSchemes(changes));
  const change = async () => {
    const { authSchemes: schemes, ...checked } = valid!;
    const authSchemes = schemes?.map(toStored);
    const record = await requireConnector(context, ref, ['connector']);
    expectVersion(record, expectedVersion);
    const rebound = authSchemes && (await rebind(context, record, authSchemes));
    if (rebound) await refuseForbiddenDestinations(context, destinations(rebound.authSchemes), destinations(record.authSchemes));
    return orNameTaken('connector', 'integration', () =>
      updateRecord(context, context.store.connectors, record, { ...checked, ...rebound }),
    );
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const record = await checks.run(() => requireConnector(context, ref, ['connector']));
        const added = namedIn(changes.authSchemes ?? []).filter(({ id }) => !record?.credentialIds.includes(id));
        await refuseUnknownCredentials(context, record?.integrationId, added, checks);
      },
    ],
  );
}

/**
 * Returns the new schemes of a connector. A scheme that is sent as it is stored may name credentials that the viewer does not find, such as one
 * that has expired. A scheme that names a hidden credential cannot be changed or removed: if it is left out, it keeps its place.
 *
 * @throws ValidationError, NotFoundError
 */
async function rebind(context: DomainContext, record: ConnectorRecord, schemes: readonly AuthScheme[]) {
  const visibility = await visibilityOf(context, record.credentialIds);
  const before = record.authSchemes.map((value, place) => ({ value, place, isHidden: namesIn(visibility, value, 'HIDDEN') }));
  const storedAs = (id: string) => before.find(({ value }) => value.id === id);
  const issues = schemes.flatMap((scheme, index) => {
    const stored = storedAs(scheme.id);
    return stored?.isHidden && !isSameScheme(stored.value, scheme)
      ? [{ path: ['authSchemes', index], message: 'must stay as it is: it names a credential that the viewer cannot see' }]
      : [];
  });
  if (issues.length > 0) throw new ValidationError(issues);
  refuseOtherTypes(record.authSchemes, schemes, (index) => ['authSchemes', index, 'schemeType']);
  const isKept = (scheme: AuthScheme) => isSameScheme(storedAs(scheme.id)?.value ?? null, scheme);
  const kept = before.filter(({ value, isHidden }) => isHidden && !schemes.some(({ id }) => id === value.id));
  const authSchemes = putBack(schemes, kept);
  if (authSchemes.length > SCHEMES_MAX) {
    const message = `must be at most ${SCHEMES_MAX} items, with those that name a credential that the viewer cannot see`;
    throw new ValidationError([{ path: ['authSchemes'], message }]);
  }
  // Deleting the credential of a scheme that stays writes the connector, so it needs no protection.
  await hold(context, record.integrationId, schemes, isKept);
  return { authSchemes, credentialIds: namedBySchemes(authSchemes) };
}

function namedBySchemes(schemes: readonly AuthScheme[]): string[] {
  return [...new Set(schemes.flatMap(credentialsOf))].sort();
}

/** Deletes a connector, with `force` also its connections. @throws NotFoundError, ConflictError, InUseError, ForbiddenError */
export async function deleteConnector(
  context: MutationContext,
  { connector: ref, expectedVersion, force, ...rest }: Target<'connector', ConnectorRef> & Forceable,
): Promise<string> {
  refuseUnknown(rest);
  const { store } = context;
  return mutate(context, async () => {
    const record = await requireConnector(context, ref, ['connector'], 'evenAltered');
    expectVersion(record, expectedVersion);
    const connections = { connectorId: record.id };
    await store.slots.close([record.id]);
    if (!force) await refuseIfInUse(context, 'connector', { connections });
    const object = { noun: 'connector', id: record.id } as const;
    const ids = await store.connections.ids(connections);
    await recordCascades(context, object, [{ noun: 'connection', verb: 'delete', ids }]);
    await forgetPrimary(context, ids, object);
    await store.connections.remove(connections);
    await store.authorizations.removeAll({ integrationId: record.integrationId, connectorId: record.id });
    await store.connectors.remove({ id: record.id });
    return record.id;
  });
}

/** @throws ValidationError when two schemes of an input have the same id */
function refuseSameSchemes({ authSchemes }: ChangesOf<typeof connectorFields>): void {
  const ids = (authSchemes ?? []).map(({ schemeId }) => schemeId);
  refuseSameIds(ids, (index) => ['authSchemes', index, 'schemeId']);
}

/** Returns the credentials that schemes in an input name. */
function namedIn(schemes: readonly (AuthSchemeInput | null)[]): NamedCredential[] {
  return schemes.flatMap((scheme, index) => credentialsIn(scheme).map((id) => ({ id, path: ['authSchemes', index, 'oauth2'] })));
}

function destinations(schemes: readonly AuthScheme[]): Destination[] {
  return schemes.flatMap((scheme, index) => destinationsOf(scheme, ['authSchemes', index]));
}

/** Protects the credentials of a connector's schemes from deletion. All connections share them, so none may belong to an end user. */
function hold(
  context: DomainContext,
  integrationId: string,
  schemes: readonly AuthScheme[],
  isKept: (scheme: AuthScheme) => boolean = () => false,
): Promise<string[]> {
  const named = schemes.flatMap((scheme, index) =>
    isKept(scheme) ? [] : credentialsOf(scheme).map((id) => ({ id, path: ['authSchemes', index, 'oauth2'] })),
  );
  return holdCredentials(context, { integrationId, endUserId: null }, named);
}

/** The input fields of a discovery. */
export const discoveryFields = {
  issuer: text({
    ...urlText,
    description:
      'The issuer identifier of the server: an https URL without query and fragment, such as `https://login.example.com`. The document that the server publishes must name the same issuer.',
  }),
  authSchemeId: text({
    optional: true,
    default: 'oauth2',
    maxLength: 64,
    format: 'externalId',
    description: 'The `schemeId` of the auth scheme to fill. If the connector has none with this id, one is added.',
  }),
};

/** How a server calls the ways in which clients authenticate, in the order in which they are chosen. */
const authenticationNames = {
  client_secret_basic: 'BASIC',
  client_secret_post: 'POST',
  private_key_jwt: 'PRIVATE_KEY_JWT',
  tls_client_auth: 'TLS',
  self_signed_tls_client_auth: 'TLS',
  none: 'NONE',
} as const;

/**
 * Fills an OAuth 2.0 scheme of a connector with what the server says about itself (RFC 8414). What the server does not say stays as it is. The
 * request is sent before the transaction.
 *
 * @throws ValidationError, NotFoundError, ConflictError, ServiceFailedError
 */
export async function discoverConnector(
  context: MutationContext,
  { connector: ref, expectedVersion, ...given }: Target<'connector', ConnectorRef> & InputOf<typeof discoveryFields>,
): Promise<ConnectorRecord> {
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(discoveryFields, given));
  const find = () => requireConnector(context, ref, ['connector']);
  return checks.thenMake(async () => {
    const record = await beforeChanges(find);
    expectVersion(record, expectedVersion);
    return fill(context, record, valid!);
  }, [find]);
}

async function fill(
  context: MutationContext,
  record: ConnectorRecord,
  { issuer, authSchemeId }: ValuesOf<typeof discoveryFields>,
): Promise<ConnectorRecord> {
  const facts = await asService(() => context.oauth.discover(new URL(issuer)));
  const { authorizeUrl, tokenUrl, revocationUrl, introspectionUrl, clientAuthentications } = facts;
  const unencrypted = [authorizeUrl, tokenUrl, revocationUrl, introspectionUrl].some((url) => url && !isAsSafe(url, issuer));
  if (!tokenUrl || unencrypted) throw new ServiceFailedError('INVALID_ANSWER');
  const before = record.authSchemes.find(({ id }) => id === authSchemeId);
  if (before && before.schemeType !== 'OAUTH2') {
    throw new ValidationError([{ path: ['authSchemeId'], message: 'must not be the id of a scheme of another type than OAUTH2' }]);
  }
  const kept = before ? oauth2SettingsOf(before) : { grant: authorizeUrl ? 'AUTHORIZATION_CODE' : 'CLIENT_CREDENTIALS' };
  const [authentication] = Object.entries(authenticationNames).flatMap(([name, method]) =>
    clientAuthentications.includes(name) ? [method] : [],
  );
  const scopes = facts.scopes.filter((name) => name.length <= nameText.maxLength && formats.name.accepts(name)).slice(0, SCOPES_MAX);
  const oauth2 = {
    ...kept,
    issuer: facts.issuer,
    tokenUrl: tokenUrl.href,
    ...(authorizeUrl && { authorizeUrl: authorizeUrl.href }),
    ...(revocationUrl && { revocationUrl: revocationUrl.href }),
    ...(introspectionUrl && { introspectionUrl: introspectionUrl.href }),
    ...(scopes.length > 0 && !before && { scopes: scopes.map((name) => ({ name })) }),
    ...(authentication && !before && { clientAuthentication: authentication }),
  };
  const scheme = { schemeId: authSchemeId, schemeType: 'OAUTH2', description: before?.description ?? null, oauth2 } as AuthSchemeInput;
  const schemes = record.authSchemes.map((each) => (each === before ? scheme : (schemeInput(each) as AuthSchemeInput)));
  try {
    // What was read before the request must still be so.
    return await updateConnector(context, {
      connector: { id: record.id },
      expectedVersion: record.version,
      authSchemes: before ? schemes : [...schemes, scheme],
    });
  } catch (error) {
    // The paths are those of an input that the caller has not sent.
    if (!(error instanceof ValidationError)) throw error;
    throw new ValidationError(
      error.issues.map(({ message }) => ({ path: ['authSchemeId'], message: `cannot be filled: its scheme ${message}` })),
    );
  }
}

/** The maximum number of scopes of a scheme. */
const SCOPES_MAX = 100;

/** Whether a URL that a server names is encrypted, or at least as much as the server itself. */
function isAsSafe(url: URL, issuer: string): boolean {
  return url.protocol === 'https:' || url.protocol === new URL(issuer).protocol;
}
