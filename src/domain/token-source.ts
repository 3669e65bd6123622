import { createHash } from 'node:crypto';
import { CredentialNotUsableError, type NotUsable, ValidationError } from '../errors.ts';
import { hostOfUrl } from '../fields/hosts.ts';
import { type Grant, type OAuthClient, serviceAccountAssertion } from '../services/oauth/index.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { OrganizationStore } from '../store/index.ts';
import { hiddenField, shownSecrets } from '../store/token.ts';
import { parsedUrl } from '../url.ts';
import { credentialsOf, type OAuth2Settings } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { forbiddenUse, forbiddenUses } from './credential-use.ts';
import { oauth2SettingsOf, oauthClientOf } from './oauth-client.ts';
import { kindsWithTokens } from './token-facts.ts';

/** A credential from which access tokens come, and how. */
export interface TokenSource {
  readonly credential: CredentialRecord;
  /** The auth scheme of the binding. Null if the kind of the credential decides. */
  readonly scheme: AuthScheme | null;
}

/** What is sent to a token endpoint, with its secrets opened. */
export interface TokenRequest {
  readonly client: OAuthClient;
  readonly grant: Grant;
  /** What the tokens are for, if the service does not say. */
  readonly scopes: readonly string[];
}

/** Whether the tokens are stored by callers and refreshed. Those of other kinds are obtained, and sealed beside the credential. */
export function isRefreshed({ kind }: CredentialRecord): boolean {
  return kind === 'oauth2Token';
}

const GOOGLE_TOKEN_URL = 'https://oauth2.googleapis.com/token';
const GOOGLE_SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];

/**
 * Returns the scheme by which the tokens of a credential are obtained. A client credential and a key file of Google can do without; a scheme of another type
 * has nothing to do with it.
 */
function schemeFor({ credential, scheme }: TokenSource): AuthScheme | null {
  const own = scheme?.schemeType === 'OAUTH2' ? scheme : null;
  const { id, kind, settings } = credential;
  if (kind === 'oauth2Client') {
    // The credential is the client itself.
    const tokenUrl = (own && oauth2SettingsOf(own).tokenUrl) ?? String(settings.tokenUrl);
    const given = { ...own?.settings, grant: 'CLIENT_CREDENTIALS', tokenUrl, clientCredentialId: id };
    return { id: own?.id ?? '', schemeType: 'OAUTH2', description: null, settings: given };
  }
  if (kind === 'gcp') {
    const { tokenUri } = (credential.facts.keyMeta ?? {}) as { readonly tokenUri?: unknown };
    const tokenUrl = typeof tokenUri === 'string' ? tokenUri : GOOGLE_TOKEN_URL;
    return { id: own?.id ?? '', schemeType: 'OAUTH2', description: null, settings: { ...own?.settings, tokenUrl } };
  }
  return own;
}

/**
 * Returns the name of the hidden secret that holds the token of a source. It is a digest of everything that the token is made from, so a token that was made
 * from something else is never used.
 */
export async function mintedField({ store }: DomainContext, source: TokenSource): Promise<string> {
  const scheme = schemeFor(source);
  const others = credentialsOf(scheme).filter((id) => id !== source.credential.id);
  const named = others.length > 0 ? await store.credentials.byIds(others) : [];
  const parts = [source.credential, ...[...named].sort((a, b) => (a.id < b.id ? -1 : 1))].map(
    ({ id, enabled, allowedDomains = [], allowedPurposes = [], settings, secrets }) => {
      const generations = shownSecrets(secrets).sort();
      return [
        id,
        enabled,
        allowedDomains,
        allowedPurposes,
        sorted(settings),
        generations.map((field) => [field, secrets[field]!.generation]),
      ];
    },
  );
  const made = JSON.stringify([parts, scheme && sorted(scheme.settings)]);
  return hiddenField(createHash('sha256').update(made).digest('base64url'));
}

function sorted(values: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Opens what a token request needs. The context must not be limited: an end user cannot see the client. Each secret is checked before it is opened: it is
 * sent to the token endpoint.
 *
 * @throws CredentialNotUsableError when there is no client, or a credential may not be sent to the token endpoint
 * @throws UnreadableSecretError, TokenRequestError
 */
export async function tokenRequest(context: DomainContext, source: TokenSource): Promise<TokenRequest> {
  const { store } = context;
  const { credential } = source;
  const scheme = schemeFor(source);
  if (!scheme) throw new CredentialNotUsableError('NO_CLIENT', credential.id);
  const settings = oauth2SettingsOf(scheme);
  const host = hostOfUrl(settings.tokenUrl);
  if (host === undefined) throw new CredentialNotUsableError('NO_CLIENT', credential.id);
  const forbidden = forbiddenUse(credential, { purpose: 'TOKEN_REQUEST', host, narrowedTo: null });
  if (forbidden) throw new CredentialNotUsableError(forbidden, credential.id);
  const open = async (field: string) => {
    if (!(field in credential.secrets)) throw new CredentialNotUsableError('SECRET_MISSING', credential.id);
    return store.secrets.open(credential, field);
  };
  const scopes = scopesOf(credential, settings);
  switch (credential.kind) {
    case 'oauth2Token': {
      const client = await clientOf(context, credential, scheme);
      return { client, grant: { type: 'refresh_token', refreshToken: await open('refreshToken') }, scopes };
    }
    case 'oauth2Client':
      return { client: await clientOf(context, credential, scheme), grant: { type: 'client_credentials', scopes }, scopes };
    case 'oauth2Password': {
      // Some servers need no client for this grant.
      const client = settings.clientCredentialId ? await clientOf(context, credential, scheme) : withoutClient(settings);
      const username = String(credential.settings.username);
      return { client, grant: { type: 'password', username, password: await open('password'), scopes }, scopes };
    }
    case 'gcp': {
      const file = await open('keyJson');
      const request = { audience: settings.tokenUrl, scopes, now: context.now(), keyFiles: context.keyFiles() };
      const assertion = await serviceAccountAssertion(file, request);
      return { client: withoutClient(settings), grant: { type: 'jwt_bearer', assertion, scopes: [] }, scopes };
    }
    default:
      throw new CredentialNotUsableError('KIND_DOES_NOT_FIT', credential.id);
  }
}

/**
 * Returns why no token can be obtained with a credential, as far as it and its scheme tell. It says nothing about the client of the scheme, which not every
 * viewer can see. Stored tokens can be valid although they cannot be refreshed, and the connector decides where that is done.
 */
export function tokenProblems({ credential, scheme }: TokenSource, now: Date): NotUsable[] {
  if (!kindsWithTokens.has(credential.kind)) return [];
  if (isRefreshed(credential)) {
    const { secrets, settings } = credential;
    const end = (settings as { readonly accessTokenExpiresAt?: Date | null }).accessTokenExpiresAt ?? null;
    const isValid = 'accessToken' in secrets && (end === null || end > now);
    return isValid || !('refreshToken' in secrets)
      ? []
      : forbiddenUses(credential, { purpose: 'TOKEN_REQUEST', host: null, narrowedTo: null });
  }
  const { tokenUrl, ...settings }: Partial<OAuth2Settings> = schemeFor({ credential, scheme })?.settings ?? {};
  const host = tokenUrl === undefined ? undefined : hostOfUrl(tokenUrl);
  if (host === undefined) return ['NO_CLIENT'];
  const { clientAuthentication, mtlsEnabled, mtlsCredentialId, privateKeyCredentialId, clientCredentialId } = settings;
  const needsCertificate = mtlsEnabled || clientAuthentication === 'TLS';
  const isIncomplete = (needsCertificate && !mtlsCredentialId) || (clientAuthentication === 'PRIVATE_KEY_JWT' && !privateKeyCredentialId);
  return [
    ...forbiddenUses(credential, { purpose: 'TOKEN_REQUEST', host, narrowedTo: null }),
    ...(clientCredentialId && credential.kind !== 'gcp' && isIncomplete ? (['SCHEME_INCOMPLETE'] as const) : []),
  ];
}

/** Returns the scopes to request. A refresh keeps those that were granted. */
function scopesOf({ kind, settings }: CredentialRecord, { defaultScopes = [] }: Partial<OAuth2Settings>): readonly string[] {
  const { scopes } = settings as { readonly scopes?: readonly string[] | null };
  if (kind === 'oauth2Token') return scopes ?? [];
  if (kind === 'gcp') return defaultScopes.length > 0 ? defaultScopes : GOOGLE_SCOPES;
  return kind === 'oauth2Client' && scopes && scopes.length > 0 ? scopes : defaultScopes;
}

function withoutClient({ tokenUrl, additionalTokenParams = [] }: Pick<OAuth2Settings, 'tokenUrl'> & Partial<OAuth2Settings>): OAuthClient {
  const parameters = additionalTokenParams.map(({ name, value }) => [name, value ?? ''] as const);
  return { tokenUrl: parsedUrl(tokenUrl)!, clientId: null, authentication: { method: 'NONE' }, parameters };
}

/**
 * Whether what is in a credential may be sent with the client of a scheme. What an end user has written with its own token may be sent with a client of that
 * end user, or of a connector with `endUsersMayUseClient` that the end user has a connection of.
 */
export async function isClientFor({ store }: DomainContext, credential: CredentialRecord, scheme: AuthScheme): Promise<boolean> {
  const { id, endUserId, secrets } = credential;
  if (!shownSecrets(secrets).some((field) => secrets[field]!.byEndUser)) return true;
  const named = credentialsOf(scheme).filter((each) => each !== id);
  const found = await store.credentials.byIds(named);
  const others = named.filter((each) => found.find((one) => one.id === each)?.endUserId !== endUserId);
  if (others.length === 0) return true;
  const connectors = await connectorsOf(store, await connectionsWith(store, id));
  return connectors.some(
    ({ endUsersMayUseClient, credentialIds }) => endUsersMayUseClient === true && others.every((each) => credentialIds.includes(each)),
  );
}

/** @throws CredentialNotUsableError when the scheme has no client, or it may not be used */
async function clientOf(context: DomainContext, credential: CredentialRecord, scheme: AuthScheme): Promise<OAuthClient> {
  if (!(await isClientFor(context, credential, scheme))) throw new CredentialNotUsableError('NO_CLIENT', credential.id);
  try {
    return await oauthClientOf(context, scheme);
  } catch (error) {
    throw error instanceof ValidationError ? new CredentialNotUsableError('NO_CLIENT', credential.id) : error;
  }
}

/** The maximum number of connections that are searched for the scheme of a credential. */
const CONNECTIONS_MAX = 100;

async function connectionsWith(store: OrganizationStore, credentialId: string): Promise<readonly ConnectionRecord[]> {
  const request = { limit: CONNECTIONS_MAX, sortField: 'createdAt', descending: true };
  return (await store.connections.page({ credentialIds: [credentialId] }, request)).records;
}

function connectorsOf(store: OrganizationStore, connections: readonly ConnectionRecord[]): Promise<ConnectorRecord[]> {
  return store.connectors.byIds([...new Set(connections.flatMap(({ connectorId }) => connectorId ?? []))]);
}

/**
 * Returns the scheme by which the tokens of a credential are refreshed now: that of a connection that uses it, as its connector has it now. Null if there is
 * none: a scheme that was deleted from the connector refreshes nothing any more. `given` is the scheme of the binding in use, if one is.
 */
export async function currentScheme(
  { store }: DomainContext,
  { id }: CredentialRecord,
  given: AuthScheme | null,
): Promise<AuthScheme | null> {
  const records = await connectionsWith(store, id);
  const connectors = new Map((await connectorsOf(store, records)).map((connector) => [connector.id, connector]));
  const bindings = records.flatMap(({ connectorId, actionCredentials, triggerCredentials }) =>
    [...actionCredentials, ...triggerCredentials]
      .filter(({ credentialId }) => credentialId === id)
      .map(({ authScheme }) => ({ authScheme, connector: connectorId === null ? undefined : connectors.get(connectorId) })),
  );
  if (bindings.length === 0) return given;
  for (const { authScheme, connector } of bindings) {
    if (authScheme?.schemeType !== 'OAUTH2' || (given && given.id !== authScheme.id)) continue;
    if (!connector) return authScheme;
    const current = connector.authSchemes.find((scheme) => scheme.id === authScheme.id && scheme.schemeType === 'OAUTH2');
    if (current) return current;
  }
  return null;
}
