import { OperationTimeoutError, RateLimitedError, UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { TokenRequestError } from '../services/oauth/index.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { MutationContext } from './mutate.ts';
import { tokenEndpoint } from './token-endpoint.ts';
import { isRefreshed } from './token-source.ts';

/** What became of the tokens of a deleted credential at the service. */
export const serviceRevocations = {
  REVOKED: 'The service has revoked the tokens. If it revokes refresh tokens only, an access token can live until it ends by itself.',
  FAILED: 'The service could not be reached in time, or it refused, or a secret could not be opened. The tokens may still be valid.',
  NOT_ALLOWED:
    'Nothing was sent: the credential, or the client of its auth scheme, may not be sent to the revocation endpoint, because it is not enabled, or its `allowedPurposes` do not contain `TOKEN_REQUEST`, or its `allowedDomains` not the host; or an end user has written the tokens, and may not use the client. The tokens may still be valid.',
  NOT_SUPPORTED:
    'Nothing was revoked: the credential has no tokens that were stored, or there is no auth scheme with a `revocationUrl` by which they are refreshed, or the service does not revoke such tokens.',
} as const;
export type ServiceRevocation = keyof typeof serviceRevocations;

/** A revocation (RFC 7009) whose secrets are opened, but of which nothing was sent yet. */
export interface PreparedRevocation {
  /** Whether a credential still has the tokens that were opened. */
  isOf(record: CredentialRecord): boolean;
  /** Sends the tokens to the service. Never fails: it returns what became of them. */
  send(): Promise<ServiceRevocation>;
}

/** In this order: a service that revokes a refresh token should also revoke the access tokens of the same grant (RFC 7009, section 2.1). */
const tokenFields = [
  ['refreshToken', 'refresh_token'],
  ['accessToken', 'access_token'],
] as const;

interface OpenedToken {
  readonly kind: 'refresh_token' | 'access_token';
  readonly token: Redacted;
}

/** Opens what the revocation of the tokens of a credential needs, while it is stored. */
export async function prepareRevocation(context: MutationContext, credential: CredentialRecord): Promise<PreparedRevocation> {
  // An end user cannot see the client, but may end its own consent.
  const unlimited = context.unlimited();
  const textOf = ({ secrets }: CredentialRecord) => JSON.stringify(tokenFields.map(([field]) => secrets[field]?.generation));
  const is = (outcome: ServiceRevocation) => ({
    isOf: (record: CredentialRecord) => textOf(record) === textOf(credential),
    send: async () => outcome,
  });
  const fields = tokenFields.filter(([field]) => field in credential.secrets);
  if (!isRefreshed(credential) || fields.length === 0) return is('NOT_SUPPORTED');
  try {
    const endpoint = await tokenEndpoint(unlimited, credential, 'revocationUrl');
    if (typeof endpoint === 'string') return is(endpoint);
    const tokens: OpenedToken[] = [];
    for (const [field, kind] of fields) tokens.push({ kind, token: await unlimited.store.secrets.open(credential, field) });
    const { client, url } = endpoint;
    const revoke = ({ kind, token }: OpenedToken) => context.oauth.revoke(client, url, token, kind);
    return { ...is('FAILED'), send: () => sent(tokens, revoke, context.isOver) };
  } catch (error) {
    if (error instanceof UnreadableSecretError) return is('FAILED');
    throw error;
  }
}

async function sent(
  tokens: readonly OpenedToken[],
  revoke: (token: OpenedToken) => Promise<void>,
  isOver: () => boolean = () => false,
): Promise<ServiceRevocation> {
  let isRefreshRevoked = false;
  for (const token of tokens) {
    if (isOver()) return 'FAILED';
    try {
      await revoke(token);
      isRefreshRevoked ||= token.kind === 'refresh_token';
    } catch (error) {
      // Too many keys wait, so the client could not sign.
      if (error instanceof RateLimitedError || error instanceof OperationTimeoutError) return 'FAILED';
      if (!(error instanceof TokenRequestError)) throw error;
      if (error.code !== 'unsupported_token_type') return 'FAILED';
      // Access tokens that only their end makes useless.
      if (!isRefreshRevoked) return 'NOT_SUPPORTED';
    }
  }
  return 'REVOKED';
}
