import { AlteredRecordError, CredentialNotUsableError, ServiceFailedError, UnreadableSecretError } from '../errors.ts';
import { TokenRequestError } from '../services/oauth/index.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { credentialsOf } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import type { ProblemCode } from './findings.ts';
import { oauth2SettingsOf, serviceFailed } from './oauth-client.ts';
import { shown } from './reading.ts';
import { tokenEndpoint } from './token-endpoint.ts';
import { kindsWithTokens } from './token-facts.ts';
import { currentScheme, isRefreshed } from './token-source.ts';

/** What is wrong with tokens. Null if they work; `KNOWN` if nobody was asked, or what is wrong is stored already. */
type Outcome = ProblemCode | 'KNOWN' | null;

/** What was learned about tokens, and the credentials that took part. */
export interface TokenFinding {
  readonly credentialIds: readonly string[];
  readonly problem: Outcome;
}

/** Returns the credentials of a connection whose tokens can be checked, of those that the viewer can see. */
export async function credentialsToCheck(context: DomainContext, connection: ConnectionRecord): Promise<CredentialRecord[]> {
  const bindings = [...connection.actionCredentials, ...connection.triggerCredentials];
  const ids = [...new Set(bindings.map(({ credentialId }) => credentialId))];
  const records = ids.length === 0 ? [] : shown(context, 'credential', await context.store.credentials.evenAltered.byIds(ids));
  const checkable: CredentialRecord[] = [];
  for (const record of records) if (await hasTokensToCheck(context, record)) checkable.push(record);
  return checkable;
}

/** Whether the service can be asked about the tokens of a credential: by introspection, or by obtaining or refreshing them. */
export async function hasTokensToCheck(context: DomainContext, credential: CredentialRecord): Promise<boolean> {
  const { kind, secrets, isAltered } = credential;
  if (isAltered || !kindsWithTokens.has(kind)) return false;
  // These need no scheme.
  if (kind === 'oauth2Client' || kind === 'gcp') return true;
  const scheme = await schemeOf(context.unlimited(), credential);
  if (!scheme) return false;
  const canIntrospect = 'accessToken' in secrets && oauth2SettingsOf(scheme).introspectionUrl != null;
  return !isRefreshed(credential) || 'refreshToken' in secrets || canIntrospect;
}

async function schemeOf(context: DomainContext, credential: CredentialRecord): Promise<AuthScheme | null> {
  try {
    return await currentScheme(context, credential, null);
  } catch (error) {
    // Nothing is sent to where an altered connector says.
    if (error instanceof AlteredRecordError) return null;
    throw error;
  }
}

/**
 * Asks the service about the tokens of a credential for which `hasTokensToCheck` is true. An access token that is introspected as active works (RFC 7662).
 * One that is not, or that the service does not tell about, proves nothing while it can be refreshed, so that is tried: only a refused refresh token shows that
 * a person must consent again.
 *
 * @throws AlteredRecordError
 */
export async function checkTokens(context: DomainContext, credential: CredentialRecord): Promise<TokenFinding> {
  const { id } = credential;
  const scheme = await schemeOf(context.unlimited(), credential);
  const problem = await outcomeOf(context, credential);
  // What works also shows that the service knows the client.
  return { credentialIds: problem === null ? [...new Set([id, ...credentialsOf(scheme)])] : [id], problem };
}

async function outcomeOf(context: DomainContext, credential: CredentialRecord): Promise<Outcome> {
  if (!credential.enabled || credential.pendingSecrets?.length) return 'KNOWN';
  try {
    const said = isRefreshed(credential) ? await introspected(context.unlimited(), credential) : 'NOT_ASKED';
    if (said === 'ACTIVE') return null;
    // It would not answer to a refresh either, and failed refreshes delay the next ones.
    if (said === 'SERVICE_FAILED') return said;
    const canRefresh = !isRefreshed(credential) || 'refreshToken' in credential.secrets;
    if (!canRefresh) return withoutRefresh[said];
    const renewed = await context.tokens.renew(context, credential);
    const isSame = renewed.secrets.accessToken?.generation === credential.secrets.accessToken?.generation;
    // It is not refreshed again within seconds.
    return said === 'INACTIVE' && isSame ? 'REFUSED' : null;
  } catch (error) {
    if (error instanceof UnreadableSecretError) return 'SECRET_UNREADABLE';
    if (error instanceof ServiceFailedError) return 'TOKEN_REQUEST_FAILED';
    // Why there is no refresh was stored with the try.
    if (error instanceof CredentialNotUsableError) return error.reason === 'NEEDS_AUTHORIZATION' ? 'AUTHORIZATION_LOST' : 'KNOWN';
    throw error;
  }
}

type Introspected = 'ACTIVE' | 'INACTIVE' | 'NOT_ASKED' | 'NOT_TOLD' | 'SERVICE_FAILED';

/** What it means if there is no refresh token. That a token is not active is the same as a 401: the service also says so of tokens that are not for the client. */
const withoutRefresh = { INACTIVE: 'REFUSED', NOT_TOLD: 'UNEXPECTED_ANSWER', NOT_ASKED: 'KNOWN' } as const satisfies Record<
  Exclude<Introspected, 'ACTIVE' | 'SERVICE_FAILED'>,
  Outcome
>;

/** Asks the service about the stored access token, if it has not run out. @throws UnreadableSecretError */
async function introspected(context: DomainContext, credential: CredentialRecord): Promise<Introspected> {
  const { accessTokenExpiresAt } = credential.settings as { readonly accessTokenExpiresAt?: Date | null };
  const isOver = accessTokenExpiresAt instanceof Date && accessTokenExpiresAt <= context.now();
  if (isOver || !('accessToken' in credential.secrets)) return 'NOT_ASKED';
  const endpoint = await tokenEndpoint(context, credential, 'introspectionUrl');
  if (typeof endpoint === 'string') return 'NOT_ASKED';
  const token = await context.store.secrets.open(credential, 'accessToken');
  try {
    const { isActive } = await context.oauth.introspect(endpoint.client, endpoint.url, token);
    return isActive ? 'ACTIVE' : 'INACTIVE';
  } catch (error) {
    if (!(error instanceof TokenRequestError)) throw error;
    const { reason } = serviceFailed(error);
    const isDown = reason === 'UNREACHABLE' || reason === 'TIMEOUT' || error.code === 'server_error';
    return isDown ? 'SERVICE_FAILED' : 'NOT_TOLD';
  }
}
