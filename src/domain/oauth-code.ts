import { checkForm } from '../credential-kinds/validate.ts';
import { ValidationError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import type { TokenAnswer } from '../services/oauth/index.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { DomainContext } from './context.ts';
import type { NewCredential } from './credential.ts';
import { asService, oauthClientOf } from './oauth-client.ts';
import { at } from './validation.ts';

/** The data of the kind `oauth2Code`, after their form was checked. */
interface CodeData {
  readonly code: Redacted;
  readonly state: Redacted;
  readonly redirectUrl?: string | Redacted | null;
  readonly additionalParams?: Redacted | null;
}

/** Whether a new credential is an authorization code, which is exchanged and not stored. */
export function hasCode({ data }: NewCredential): boolean {
  return data.oauth2Code != null;
}

/**
 * Exchanges the authorization code of a new credential, and returns the credential with the tokens. The caller has made the authorization request, so it
 * knows the state and the verifier. Not in a transaction: a code is good once.
 *
 * @throws ValidationError, ServiceFailedError, UnreadableSecretError
 */
export async function exchangeCode(context: DomainContext, created: NewCredential, scheme: AuthScheme | null): Promise<NewCredential> {
  const { data } = created;
  const kind = context.kinds.find('oauth2Code');
  const refuse = (message: string) => new ValidationError([{ path: ['data', 'oauth2Code'], message }]);
  if (!kind) throw refuse('is not a kind of this gateway');
  if (Object.values(data).filter((value) => value != null).length !== 1) {
    throw new ValidationError([{ path: ['data'], message: 'must have exactly one member, named after the kind' }]);
  }
  await at(['data', 'oauth2Code'], () => checkForm(kind, data.oauth2Code!));
  const { code, state, redirectUrl, additionalParams } = data.oauth2Code as unknown as CodeData;
  if (scheme?.schemeType !== 'OAUTH2') throw refuse('is exchanged only if the authScheme of the entry is an OAUTH2 scheme with a client');
  if (await context.store.authorizations.peek(state)) {
    throw refuse('belongs to an authorization that the gateway has started: complete it with completeAuthorization');
  }
  const client = await at(['data', 'oauth2Code'], () => oauthClientOf(context, scheme));
  const tokens = await asService(() =>
    context.oauth.requestToken(client, {
      type: 'authorization_code',
      code,
      redirectUrl: redirectUrl ?? null,
      codeVerifier: null,
      parameters: additionalParams ?? null,
    }),
  );
  return { ...created, data: tokenData(tokens, []) };
}

/** Returns the data of a credential that holds tokens. `requested` are their scopes if the service does not say. */
export function tokenData(
  { accessToken, refreshToken, tokenType, expiresAt, scopes }: TokenAnswer,
  requested: readonly string[],
): NewCredential['data'] {
  return { oauth2Token: { scopes: [...(scopes ?? requested)], accessToken, refreshToken, tokenType, accessTokenExpiresAt: expiresAt } };
}
