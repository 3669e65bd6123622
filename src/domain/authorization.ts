import { encodeId } from '../access/global-id.ts';
import type { Scope } from '../access/scopes.ts';
import { type Confinement, may, type Viewer } from '../access/viewer.ts';
import {
  ConflictError,
  ForbiddenError,
  GatewayError,
  LimitExceededError,
  NotFoundError,
  type Path,
  UnauthenticatedError,
  ValidationError,
} from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import { flag, type InputOf, objectList, secret, text, textList } from '../fields/field.ts';
import { formats } from '../fields/formats.ts';
import { hostOfUrl } from '../fields/hosts.ts';
import { Redacted } from '../redacted.ts';
import { ownAuthorizeParameters, type TokenAnswer } from '../services/oauth/index.ts';
import { type AuthorizationDetails, newState, type PendingAuthorization } from '../store/authorization.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { OAUTH_CALLBACK_PATH, parsedUrl } from '../url.ts';
import { type AuthSchemeInput, namedText, schemeInput } from './auth-scheme.ts';
import { changeConnection, createConnection, refuseClientOf } from './connection.ts';
import { contextOf, type DomainContext, type GatewayContext } from './context.ts';
import { mergeCredential, type NewCredential, prepareCredential } from './credential.ts';
import { nameText, urlText } from './fields.ts';
import { beforeChanges, type MutationContext, mutate, recordAlso } from './mutate.ts';
import { asService, oauth2SettingsOf, oauthClientOf } from './oauth-client.ts';
import { tokenData } from './oauth-code.ts';
import { shown } from './reading.ts';
import { newRecord } from './records.ts';
import {
  type ConnectionRef,
  type ConnectorRef,
  type EndUserRef,
  requireConnection,
  requireConnector,
  requireEndUser,
  requireOwner,
} from './references.ts';
import { at, Checks } from './validation.ts';

/** How long a user has to consent. */
const LIFETIME_MS = 10 * 60_000;
/** The maximum number of authorizations of an organization that were started, and of one end user who starts them with its own token. */
const STARTED_MAX = 10_000;
const STARTED_BY_END_USER_MAX = 20;

const scopeText = { maxLength: 512, format: 'oauthScope' } as const;
export const authorizationFields = {
  authSchemeId: text({
    optional: true,
    maxLength: 64,
    format: 'externalId',
    description: 'The `schemeId` of the auth scheme. Required only if the connector has several for the authorization code grant.',
  }),
  name: text({ ...nameText, optional: true, description: 'The name of the new connection. By default, that of the connector.' }),
  scopes: textList({
    optional: true,
    maxItems: 100,
    ...scopeText,
    description:
      'The scopes to request. By default, the `defaultScopes` of the scheme. An end user can only request scopes that the scheme lists. `offline_access` is added unless the scheme says `disableOfflineAccess`.',
  }),
  returnTo: text({
    ...urlText,
    optional: true,
    description:
      'The page to which the browser goes after the callback of the gateway. Its origin must be one of `OAUTH_RETURN_ORIGINS`. Without it, the gateway shows a page of its own.',
  }),
  redirectUrl: text({
    ...urlText,
    optional: true,
    description:
      'The redirect URL, if the service is to redirect to a page of yours, which then calls `completeAuthorization`. Its origin must be one of `OAUTH_RETURN_ORIGINS`. By default, the callback of the gateway: `<PUBLIC_URL>/oauth/callback`.',
  }),
  prompt: text({
    optional: true,
    maxLength: 64,
    format: 'oauthText',
    description:
      'The parameter `prompt` (OpenID Connect Core 1.0, section 3.1.2.1), such as `consent`. By default `login`, unless the scheme or `additionalParams` contain `prompt` or `approval_prompt`.',
  }),
  additionalParams: objectList(namedText, {
    optional: true,
    default: [],
    maxItems: 20,
    uniqueBy: 'name',
    description:
      'Further parameters of the authorization request, such as `login_hint`. They must not replace those of the gateway or of the scheme. An end user can only set those that do not change what the tokens are for, such as `login_hint`, `ui_locales`, `hd` and `max_age`.',
  }),
  confirmation: flag({
    optional: true,
    description:
      'Whether the callback only hands the code on to `returnTo`, and who started the authorization completes it with `completeAuthorization`. So a user who was lured to the page of consent cannot be connected by a stranger. Always for end users with their own token; otherwise false by default.',
  }),
};

/** What comes back from the service. */
export const completionFields = {
  state: secret({ maxLength: 4_096, format: 'oauthText', description: 'The parameter `state` of the redirect.' }),
  code: secret({ maxLength: 8_192, format: 'oauthText', description: 'The parameter `code` of the redirect.' }),
  redirectUrl: text({
    ...urlText,
    optional: true,
    description: 'The redirect URL of the authorization. If given, it must be the one with which it was started.',
  }),
  iss: text({
    ...urlText,
    optional: true,
    description: 'The parameter `iss` of the redirect (RFC 9207), if there is one.',
  }),
};

export type AuthorizationInput = InputOf<typeof authorizationFields> & {
  readonly connector: ConnectorRef;
  /** The connection of the connector to renew. */
  readonly connection?: ConnectionRef | null;
  readonly endUser?: EndUserRef | null;
};

/** An authorization that was started. */
export interface StartedAuthorization {
  readonly id: string;
  readonly authorizationUrl: string;
  readonly redirectUrl: string;
  readonly expiresAt: Date;
}

/** Returns the scopes that starting an authorization needs. They are those of what comes of it. */
export function scopesFor({ connection }: { readonly connection?: unknown }): readonly Scope[] {
  return connection ? ['connections.patch', 'credentials.patch'] : ['connections.post'];
}

/**
 * Starts an authorization: returns the URL of the page of consent. What comes of it is kept sealed for ten minutes, under a state that is good once.
 * @throws ValidationError, NotFoundError, ConflictError, LimitExceededError, UnreadableSecretError
 */
export async function startAuthorization(context: MutationContext, input: AuthorizationInput): Promise<StartedAuthorization> {
  const { connector: connectorRef, connection: connectionRef, endUser: endUserRef, ...given } = input;
  const { viewer, now } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(authorizationFields, given));
  await checks.run(() => refuseName(input));
  const urls = await checks.run(() => checkUrls(context, given));
  const { state, secrets } = newState();
  const { id } = newRecord(context);
  const start = async () => {
    const checked = valid!;
    const { connector, connection, endUserId } = await findTarget(context, input);
    refuseClientOf(context, connector, ['connector']);
    const scheme = schemeOf(connector, checked.authSchemeId);
    if (!connection) await refuseTakenName(context, connector, endUserId, checked.name ?? connector.name);
    await refuseTooMany(context);
    // The client can belong to the integration, where an end user cannot see it.
    const client = await at(['connector'], () => oauthClientOf(context.unlimited(), scheme));
    const settings = oauth2SettingsOf(scheme);
    const scopes = scopesOf(checked.scopes, scheme, viewer);
    const details: AuthorizationDetails = {
      integrationId: connector.integrationId,
      endUserId,
      connectorId: connector.id,
      schemeId: scheme.id,
      connectionId: connection?.id ?? null,
      name: checked.name ?? connector.name,
      scopes,
      redirectUrl: urls!.redirectUrl,
      returnTo: urls!.returnTo,
      confirmation: urls!.confirmation,
      startedBy: {
        kind: viewer.kind,
        subject: viewer.subject,
        issuedAt: viewer.issuedAt?.getTime() ?? null,
        keyHash: viewer.keyHash ?? null,
        scopes: [...viewer.scopes],
        confinedTo: viewer.confinedTo ?? null,
      },
    };
    const expiresAt = new Date(now().getTime() + LIFETIME_MS);
    const url = context.oauth.authorizationUrl({
      authorizeUrl: parsedUrl(settings.authorizeUrl!)!,
      clientId: client.clientId!,
      redirectUrl: details.redirectUrl,
      scopes,
      state,
      codeVerifier: secrets.codeVerifier,
      nonce: secrets.nonce,
      parameters: parametersOf(checked, scheme, viewer),
    });
    await context.store.authorizations.insert(id, state, details, secrets, expiresAt);
    return { id: connector.id, started: { id, authorizationUrl: url.href, redirectUrl: details.redirectUrl, expiresAt } };
  };
  const { started } = await checks.thenMake(
    () => mutate(context, start),
    [
      async () => {
        await checks.run(() => requireConnector(context, connectorRef, ['connector']));
        if (connectionRef) await checks.run(() => requireConnection(context, connectionRef, ['connection']));
        if (endUserRef) await checks.run(() => requireEndUser(context, endUserRef, ['endUser']));
      },
    ],
  );
  return started;
}

/** Returns where the browser comes back to. @throws ValidationError */
function checkUrls({ viewer, policy }: DomainContext, { returnTo, redirectUrl, confirmation }: InputOf<typeof authorizationFields>) {
  const refuse = (member: string, message: string) => new ValidationError([{ path: [member], message }]);
  for (const [member, url] of Object.entries({ returnTo, redirectUrl })) {
    if (url != null && !isAllowedPage(url, policy.returnOrigins)) {
      throw refuse(member, 'must be a URL whose origin is one of those of the setting OAUTH_RETURN_ORIGINS');
    }
  }
  if (redirectUrl != null && returnTo != null)
    throw refuse('returnTo', 'must not be set together with redirectUrl, whose page gets the code');
  if (redirectUrl == null && policy.publicUrl === null) {
    throw refuse('redirectUrl', 'is required, because the setting PUBLIC_URL of the gateway is not set, so that it has no callback');
  }
  const isConfirmed = redirectUrl != null || isEndUser(viewer) || confirmation === true;
  if (isConfirmed && redirectUrl == null && returnTo == null) {
    throw refuse('returnTo', 'is required, because the authorization must be completed by who started it');
  }
  const callback = redirectUrl ?? `${policy.publicUrl}${OAUTH_CALLBACK_PATH}`;
  return { redirectUrl: callback, returnTo: returnTo ?? null, confirmation: isConfirmed };
}

const isEndUser = ({ confinedTo }: Viewer) => confinedTo?.endUserId !== undefined;

/** @throws ValidationError */
function refuseName({ connection, name }: AuthorizationInput): void {
  if (!connection || name == null) return;
  throw new ValidationError([{ path: ['name'], message: 'must not be set together with connection, whose name stays' }]);
}

function isAllowedPage(text: string, origins: readonly string[]): boolean {
  const url = parsedUrl(text);
  return url !== undefined && url.username === '' && url.password === '' && origins.includes(url.origin);
}

/** Returns the connector, and the connection to renew or the owner of a new one. @throws NotFoundError, ValidationError */
async function findTarget(
  context: DomainContext,
  { connector: connectorRef, connection: connectionRef, endUser: endUserRef }: AuthorizationInput,
): Promise<{ connector: ConnectorRecord; connection: ConnectionRecord | null; endUserId: string | null }> {
  const { store } = context;
  const connector = await requireConnector(context, connectorRef, ['connector']);
  const integration = await store.integrations.one({ id: connector.integrationId });
  if (!integration) throw new NotFoundError('connector', ['connector']);
  if (!connectionRef) {
    const endUser = await requireOwner(context, endUserRef, integration, ['endUser']);
    return { connector, connection: null, endUserId: endUser?.id ?? null };
  }
  const connection = await requireConnection(context, connectionRef, ['connection']);
  if (connection.connectorId !== connector.id) throw new NotFoundError('connection', ['connection']);
  const endUser = endUserRef ? await requireEndUser(context, endUserRef, ['endUser']) : undefined;
  if (endUser && endUser.id !== connection.endUserId) throw new NotFoundError('end user', ['endUser']);
  return { connector, connection, endUserId: connection.endUserId };
}

/** Returns the scheme of a connector by which users consent. @throws ValidationError */
export function schemeOf({ authSchemes }: ConnectorRecord, id: string | null, path: Path = ['authSchemeId']): AuthScheme {
  const possible = authSchemes.filter(
    (scheme) =>
      scheme.schemeType === 'OAUTH2' && oauth2SettingsOf(scheme).grant === 'AUTHORIZATION_CODE' && (id === null || scheme.id === id),
  );
  const refuse = (message: string) => new ValidationError([{ path, message }]);
  const [scheme, another] = possible;
  if (!scheme) throw refuse('must be the id of an OAUTH2 scheme of the connector with the grant AUTHORIZATION_CODE');
  if (another) throw refuse('is required, because the connector has several schemes with the grant AUTHORIZATION_CODE');
  const { authorizeUrl } = oauth2SettingsOf(scheme);
  if (authorizeUrl == null || !parsedUrl(authorizeUrl)) throw refuse('must be the id of a scheme with an authorizeUrl');
  return scheme;
}

/** @throws ValidationError when an end user requests a scope that the scheme does not list */
function scopesOf(wanted: readonly string[] | null, scheme: AuthScheme, viewer: Viewer): string[] {
  const { defaultScopes = [], scopes: listed = [], disableOfflineAccess = false } = oauth2SettingsOf(scheme);
  const requested = wanted ?? defaultScopes;
  const known = [...defaultScopes, ...listed.map(({ name }) => name)];
  const beyond = isEndUser(viewer) ? requested.findIndex((scope) => !known.includes(scope)) : -1;
  if (beyond >= 0) throw new ValidationError([{ path: ['scopes', beyond], message: 'must be a scope that the auth scheme lists' }]);
  return [...new Set([...requested, ...(disableOfflineAccess ? [] : ['offline_access'])])];
}

/**
 * The parameters that an end user can set. Others can widen what the tokens are for, like `scope` does: `user_scope`, `resource` (RFC 8707),
 * `authorization_details` (RFC 9396), `claims`, `audience`, or whatever a service has invented.
 */
const parametersOfEndUsers: ReadonlySet<string> = new Set([
  'acr_values',
  'approval_prompt',
  'claims_locales',
  'display',
  'domain_hint',
  'hd',
  'lang',
  'language',
  'locale',
  'login_hint',
  'max_age',
  'prompt',
  'screen_hint',
  'ui_locales',
]);

/** Returns the parameters that are not the gateway’s. Many services ignore the case of names. @throws ValidationError when they clash */
function parametersOf(
  {
    prompt,
    additionalParams,
  }: { readonly prompt: string | null; readonly additionalParams: readonly { readonly name: string; readonly value: string | null }[] },
  scheme: AuthScheme,
  viewer: Viewer,
): [string, string][] {
  const own = (oauth2SettingsOf(scheme).additionalAuthorizeParams ?? []).map(({ name, value }): [string, string] => [name, value ?? '']);
  const lower = (name: string) => name.toLowerCase();
  const taken = new Set([...ownAuthorizeParameters, ...own.map(([name]) => name), ...(prompt === null ? [] : ['prompt'])].map(lower));
  const names = additionalParams.map(({ name }) => lower(name));
  const issues = names.flatMap((name, index) => {
    const refuse = (message: string) => [{ path: ['additionalParams', index, 'name'], message }];
    if (taken.has(name)) return refuse('must not be a parameter that the gateway or the auth scheme sets');
    if (names.indexOf(name) < index) return refuse('must differ from the other names, also if case is ignored');
    if (isEndUser(viewer) && !parametersOfEndUsers.has(name)) {
      return refuse(`must be a parameter that end users can set: ${[...parametersOfEndUsers].join(', ')}`);
    }
    return [];
  });
  if (issues.length > 0) throw new ValidationError(issues);
  const given = additionalParams.map(({ name, value }): [string, string] => [name, value ?? '']);
  const all = [...own, ...given];
  const hasPrompt = all.some(([name]) => ['prompt', 'approval_prompt'].includes(lower(name)));
  if (prompt !== null) return [...all.filter(([name]) => lower(name) !== 'prompt'), ['prompt', prompt]];
  return hasPrompt ? all : [...all, ['prompt', 'login']];
}

/** @throws ConflictError */
async function refuseTakenName(
  { store }: DomainContext,
  connector: ConnectorRecord,
  endUserId: string | null,
  name: string,
): Promise<void> {
  const [taken] = await store.connections.ids({ ownerId: connector.id, endUserId, name });
  if (taken)
    throw new ConflictError('The connector has a connection with this name for the same owner. Name it in connection to renew it.', [
      'name',
    ]);
}

/** @throws LimitExceededError */
async function refuseTooMany(context: DomainContext): Promise<void> {
  const { confinedTo } = context.viewer;
  const endUserId = confinedTo?.endUserId;
  if (
    endUserId !== undefined &&
    (await context.store.authorizations.count(STARTED_BY_END_USER_MAX, endUserId)) >= STARTED_BY_END_USER_MAX
  ) {
    throw new LimitExceededError(
      'The end user has started too many authorizations in ten minutes',
      'authorizations of an end user',
      STARTED_BY_END_USER_MAX,
    );
  }
  if ((await context.unlimited().store.authorizations.count(STARTED_MAX)) >= STARTED_MAX) {
    throw new LimitExceededError('The organization has started too many authorizations in ten minutes', 'authorizations', STARTED_MAX);
  }
}

export interface Completion extends InputOf<typeof completionFields> {
  /** If given, the authorization must be for this end user. */
  readonly endUser?: EndUserRef | null;
}

/**
 * Completes an authorization whose redirect went to a page of the caller. Only who has started it can do so.
 * @throws ValidationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError
 */
export async function completeAuthorization(
  context: MutationContext,
  { endUser: endUserRef, ...given }: Completion,
): Promise<ConnectionRecord> {
  const { viewer, store } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(completionFields, given));
  const findEndUser = async () => endUserRef && (await beforeChanges(() => requireEndUser(context, endUserRef, ['endUser'])));
  const completed = async () => {
    const { state, code, redirectUrl, iss } = valid!;
    const endUser = await findEndUser();
    const unknown = new NotFoundError('authorization', ['state']);
    const pending = await beforeChanges(() => store.authorizations.peek(state));
    // The same answer for a state that nobody has, one that has expired or was used, and one that somebody else has started.
    const isOwn =
      pending &&
      pending.startedBy.kind === viewer.kind &&
      pending.startedBy.subject === viewer.subject &&
      (redirectUrl === null || redirectUrl === pending.redirectUrl) &&
      (!endUser || endUser.id === pending.endUserId);
    if (!isOwn) throw unknown;
    const missing = scopesFor({ connection: pending.connectionId }).find((scope) => !may(viewer, scope));
    if (missing) throw new ForbiddenError(missing);
    const taken = await store.authorizations.take(state);
    if (!taken) throw unknown;
    return finish(unlimited(context), taken, code, iss, viewer.confinedTo);
  };
  return checks.thenMake(completed, [findEndUser]);
}

/** The context without the viewer’s limit. The audit log still names the viewer. */
function unlimited(context: MutationContext): MutationContext {
  return { ...context, ...context.unlimited(), action: context.action };
}

/** Exchanges the code, and creates or renews the connection. The context is not limited. `completedWithin` is the limit of who completes it. */
async function finish(
  context: MutationContext,
  pending: PendingAuthorization,
  code: Redacted,
  iss: string | null,
  completedWithin?: Confinement,
): Promise<ConnectionRecord> {
  const { store, oauth } = context;
  const connector = await store.connectors.one({ id: pending.connectorId });
  if (!connector) throw new NotFoundError('connector', []);
  // It may have been forbidden since.
  if (pending.startedBy.kind === 'endUser' && connector.credentialIds.length > 0 && !connector.endUsersMayUseClient) {
    throw new NotFoundError('connector', []);
  }
  const scheme = schemeOf(connector, pending.schemeId, []);
  refuseOtherIssuer(scheme, iss);
  const client = await oauthClientOf(context, scheme);
  const { codeVerifier, nonce } = pending.secrets;
  const tokens = await asService(() =>
    oauth.requestToken(client, { type: 'authorization_code', code, redirectUrl: pending.redirectUrl, codeVerifier, nonce }),
  );
  const credential = newTokenCredential(connector, scheme, tokens, pending.scopes);
  return pending.connectionId === null
    ? create(context, pending, connector, scheme, credential)
    : renew(context, pending.connectionId, scheme, credential, [pending.startedBy.confinedTo, completedWithin ?? null]);
}

/** @throws ValidationError when the response comes from another server than the scheme says (RFC 9207, section 2.4) */
function refuseOtherIssuer(scheme: AuthScheme, iss: string | null): void {
  const { issuer } = oauth2SettingsOf(scheme);
  if (issuer && iss !== null && iss !== issuer) {
    throw new ValidationError([{ path: ['iss'], message: 'must be the issuer of the auth scheme' }]);
  }
}

/** Returns the credential that holds tokens: it may be sent to the service and to its OAuth 2.0 server only. */
export function newTokenCredential(
  connector: ConnectorRecord,
  scheme: AuthScheme,
  tokens: TokenAnswer,
  requested: readonly string[],
): NewCredential {
  const { tokenUrl, revocationUrl, introspectionUrl } = oauth2SettingsOf(scheme);
  const urls = [connector.baseUrl, tokenUrl, revocationUrl, introspectionUrl];
  const hosts = urls.map((url) => (url ? hostOfUrl(url) : undefined)).filter((host) => host !== undefined);
  return {
    name: connector.name,
    allowedDomains: [...new Set(hosts)],
    allowedPurposes: ['ACTION', 'TRIGGER', 'TOKEN_REQUEST'],
    data: tokenData(tokens, requested),
  };
}

function create(
  context: MutationContext,
  { integrationId, endUserId, name }: PendingAuthorization,
  connector: ConnectorRecord,
  scheme: AuthScheme,
  credential: NewCredential,
): Promise<ConnectionRecord> {
  return createConnection(context, {
    integration: { id: integrationId },
    connector: { id: connector.id },
    endUser: endUserId === null ? null : { id: endUserId },
    name: name!,
    actionCredentials: [{ credential: { create: credential }, authScheme: schemeInput(scheme) as AuthSchemeInput }],
  });
}

/**
 * Gives the tokens to the credential that the connection has for them, or adds one. One transaction. Other connections can have the same credential: they
 * get the tokens too. So within a limit, only a credential is renewed that a viewer with this limit could change itself.
 */
async function renew(
  context: MutationContext,
  connectionId: string,
  scheme: AuthScheme,
  credential: NewCredential,
  limits: readonly (Confinement | null)[],
): Promise<ConnectionRecord> {
  const { store } = context;
  const prepared = await prepareCredential(context, credential);
  return mutate(context, async () => {
    const connection = await requireConnection(context, { id: connectionId }, []);
    const held = await tokenCredentialOf(context, connection, scheme, limits);
    if (held) {
      const { name, data } = { ...credential, name: held.name };
      await mergeCredential(context, held, { name, data }, true);
      await recordAlso(
        context,
        { action: 'updateCredential', noun: 'credential', ids: [held.id] },
        { noun: 'connection', id: connection.id },
      );
      await store.connections.touch(connection.id);
      return connection;
    }
    const kept = connection.actionCredentials.map(({ credentialId, authScheme }: Binding) => ({ id: credentialId, authScheme }));
    return changeConnection(context, connection, {}, { actionCredentials: [...kept, { create: prepared, authScheme: scheme }] });
  });
}

/** Returns the credential of a connection that holds the tokens of a scheme, and is within all limits. */
async function tokenCredentialOf(
  context: DomainContext,
  { actionCredentials }: ConnectionRecord,
  scheme: AuthScheme,
  limits: readonly (Confinement | null)[],
) {
  const ofScheme = actionCredentials.filter(({ authScheme }) => authScheme?.id === scheme.id);
  const ids = [...ofScheme, ...actionCredentials.filter(({ authScheme }) => authScheme === null)].map(({ credentialId }) => credentialId);
  const found = shown(context, 'credential', await context.store.credentials.byIds([...new Set(ids)]));
  const own = found.filter((credential) => credential.kind === 'oauth2Token' && limits.every((limit) => isWithinLimit(credential, limit)));
  return ids.flatMap((id) => own.find((credential) => credential.id === id) ?? [])[0];
}

function isWithinLimit({ integrationId, endUserId }: CredentialRecord, limit: Confinement | null): boolean {
  if (limit === null) return true;
  return integrationId === limit.integrationId && (limit.endUserId === undefined || endUserId === limit.endUserId);
}

/** The parameters with which a service redirects to the callback. */
export interface CallbackParameters {
  readonly state: string | null;
  readonly code: string | null;
  readonly iss: string | null;
  readonly error: string | null;
}

/** How a callback ends: the browser goes to a page of the caller, or sees one of the gateway. */
export type CallbackEnd = { readonly redirectTo: string } | { readonly page: 'CONNECTED' | 'UNKNOWN' | 'REFUSED' | 'FAILED' };

/** The error codes of RFC 6749, section 4.1.2.1, and of OpenID Connect Core 1.0, section 3.1.2.6. */
const knownErrors: readonly string[] = [
  'access_denied',
  'account_selection_required',
  'consent_required',
  'interaction_required',
  'invalid_request',
  'invalid_scope',
  'login_required',
  'server_error',
  'temporarily_unavailable',
  'unauthorized_client',
  'unsupported_response_type',
];

/**
 * Handles the redirect of a service. A state that nobody has, that was used, or has expired: all get the same answer. Nothing of the parameters is
 * kept or returned, except the code to the page of who started it, if that completes the authorization.
 */
export async function handleCallback(
  gateway: GatewayContext,
  { state: stateText, code: codeText, iss, error }: CallbackParameters,
  { address, requestId }: { readonly address: string | null; readonly requestId: string },
): Promise<CallbackEnd> {
  const unknown: CallbackEnd = { page: 'UNKNOWN' };
  if (stateText === null || stateText.length > completionFields.state.maxLength) return unknown;
  const state = new Redacted(stateText);
  const organizationId = await gateway.stores.organizationOfState(state);
  if (organizationId === undefined) return unknown;
  const { authorizations } = gateway.stores.of(organizationId);
  const started = await authorizations.peek(state);
  if (!started) return unknown;
  const { returnTo, id } = started;
  const end = (page: 'CONNECTED' | 'REFUSED' | 'FAILED', result: Readonly<Record<string, string>>): CallbackEnd =>
    returnTo === null ? { page } : { redirectTo: withParameters(returnTo, { authorization: id, ...result }) };

  const isCode = codeText !== null && codeText.length <= completionFields.code.maxLength && formats.oauthText.accepts(codeText);
  if (error !== null || !isCode) {
    if (!(await authorizations.take(state))) return unknown;
    const known = error !== null && knownErrors.includes(error) ? error : 'unknown_error';
    return end(known === 'access_denied' ? 'REFUSED' : 'FAILED', { result: 'error', error: known });
  }
  if (started.confirmation) {
    // With a page of the caller as the redirect URL, nothing comes here.
    if (returnTo === null) return unknown;
    return end('CONNECTED', { result: 'confirm', state: stateText, code: codeText, ...(iss !== null && { iss }) });
  }
  const pending = await authorizations.take(state);
  if (!pending) return unknown;
  try {
    const viewer = viewerOf(organizationId, pending);
    await refuseGone(gateway, viewer);
    const action = { name: 'completeAuthorization', noun: 'connection', address, requestId } as const;
    const connection = await finish({ ...contextOf(gateway, viewer), action }, pending, new Redacted(codeText), iss);
    return end('CONNECTED', { result: 'connected', connection: encodeId('connection', connection.id) });
  } catch (failure) {
    if (!(failure instanceof GatewayError)) throw failure;
    return end('FAILED', { result: 'error', error: failure.code.toLowerCase() });
  }
}

function withParameters(page: string, parameters: Readonly<Record<string, string>>): string {
  const url = new URL(page);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** Returns who started an authorization, without a limit: what it may lead to was decided when it was started. */
function viewerOf(organizationId: string, { startedBy }: PendingAuthorization): Viewer {
  const { kind, subject, issuedAt, keyHash, scopes } = startedBy;
  return {
    organizationId,
    kind,
    subject,
    scopes: new Set(scopes),
    ...(issuedAt !== null && { issuedAt: new Date(issuedAt) }),
    ...(keyHash !== null && { keyHash }),
  };
}

/** @throws UnauthenticatedError when the token or the API key that started an authorization was revoked since */
async function refuseGone({ revocations, stores }: GatewayContext, viewer: Viewer): Promise<void> {
  revocations.refuseRevoked(viewer);
  if (viewer.kind !== 'apiKey') return;
  const key = await stores.of(viewer.organizationId).apiKeys.one({ id: viewer.subject });
  if (!key) throw new UnauthenticatedError('The API key is unknown, revoked or expired.');
}
