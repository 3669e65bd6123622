import type { CredentialRecord } from '../store/credential.ts';
import { NEVER, type ProblemCode } from '../store/health.ts';
import type { Policy } from './policy.ts';

/** What is known about the tokens of a credential, for people. */
export interface TokenFacts {
  readonly scopes: readonly string[] | null;
  readonly expiresAt: Date | null;
  readonly refreshedAt: Date | null;
  readonly refreshAt: Date | null;
  readonly failure: ProblemCode | null;
  readonly failureCode: string | null;
  readonly failures: number;
}

/** The kinds whose tokens the gateway obtains or refreshes. */
export const kindsWithTokens: ReadonlySet<string> = new Set(['oauth2Token', 'oauth2Client', 'oauth2Password', 'gcp']);

/** Returns the facts about the tokens of a credential. Null if its kind has none. */
export function tokenFacts({ kind, settings, token, refreshAt, isAltered }: CredentialRecord): TokenFacts | null {
  if (isAltered || !kindsWithTokens.has(kind)) return null;
  const { accessTokenExpiresAt, scopes } = settings as { readonly accessTokenExpiresAt?: Date | null; readonly scopes?: readonly string[] };
  const isStored = kind === 'oauth2Token';
  return {
    scopes: (isStored ? scopes : token?.scopes) ?? null,
    expiresAt: (isStored ? accessTokenExpiresAt : token?.expiresAt) ?? null,
    refreshedAt: token?.refreshedAt ?? null,
    refreshAt: refreshAt && refreshAt < NEVER ? refreshAt : null,
    failure: token?.failure ?? null,
    failureCode: token?.failureCode ?? null,
    failures: token?.failures ?? 0,
  };
}

/** Whether the service has said that the tokens cannot be refreshed any more. Only a write of the credential ends that. */
export function isLost({ token }: CredentialRecord): boolean {
  return token?.failure === 'AUTHORIZATION_LOST';
}

/**
 * Returns when the tokens of a credential should be refreshed though nobody uses them: some time before the access token expires, but not before half of its
 * lifetime is over. The time differs between credentials, so that those that were made together are not refreshed together. `NEVER` if they should not be.
 */
export function refreshDue(record: CredentialRecord, { tokenRefreshAheadMs: aheadMs }: Pick<Policy, 'tokenRefreshAheadMs'>): Date {
  const { id, kind, settings, secrets, token, enabled } = record;
  const end = (settings as { readonly accessTokenExpiresAt?: unknown }).accessTokenExpiresAt;
  const isRefreshed = kind === 'oauth2Token' && enabled && aheadMs > 0 && 'refreshToken' in secrets && !isLost(record);
  if (!isRefreshed || !(end instanceof Date) || Number.isNaN(end.getTime())) return NEVER;
  const begin = secrets.accessToken?.sealedAt.getTime() ?? 0;
  const share = Number.parseInt(id.slice(-4), 16) / 0x10000;
  const due = Math.max(end.getTime() - aheadMs * (1 + share), Math.min(end.getTime(), (begin + end.getTime()) / 2));
  const time = new Date(Math.max(due, token?.retryAt?.getTime() ?? 0));
  return time < NEVER ? time : NEVER;
}
