import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { CredentialNotUsableError, ServiceFailedError, UnavailableError, UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { TOKEN_REQUEST_MS, type TokenAnswer, type TokenErrorCode, TokenRequestError, tokenErrorCodes } from '../services/oauth/index.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { hiddenSecrets, type MintedToken, noToken, type StoredToken, shownSecrets } from '../store/token.ts';
import { credentialsOf } from './auth-scheme.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { noteFinding, type ProblemCode } from './findings.ts';
import { beforeChanges, recordDone } from './mutate.ts';
import { serviceFailed } from './oauth-client.ts';
import { asItself } from './organization.ts';
import { isLost, refreshDue } from './token-facts.ts';
import { currentScheme, isRefreshed, mintedField, type TokenSource, tokenRequest } from './token-source.ts';

export type { TokenSource };

/** A token that authenticates requests to a service. */
export interface AccessToken {
  readonly token: Redacted;
  /** The scheme before the token in the Authorization header. */
  readonly tokenType: string;
  readonly expiresAt: Date | null;
}

/** After a lost answer, the same is sent once more if no more time has passed, in milliseconds. */
const AGAIN_MS = 30_000;
/** By how much the clocks of copies may differ, in milliseconds. What is done besides token requests must fit into it, too. */
const SPARE_MS = 30_000;
/** How long one copy may refresh the tokens of a credential before another one may begin, in milliseconds: its last token request must have ended. */
const LEASE_MS = AGAIN_MS + TOKEN_REQUEST_MS + SPARE_MS;
/** How long a request waits for a refresh that another copy makes, in milliseconds. It is shorter than an operation may take. */
const WAIT_MS = 15_000;
/** How long something that must not run during a refresh waits for the end of one, in milliseconds. */
const SHORT_WAIT_MS = 5_000;
/** How long the end of the gateway waits for refreshes, in milliseconds. */
const STOP_MS = 10_000;
const POLL_MIN_MS = 25;
const POLL_MAX_MS = 500;
/** How long no other try is made after a failure, in milliseconds. It doubles with each failure. */
const RETRY_MIN_MS = 30_000;
const RETRY_MAX_MS = 6 * 60 * 60_000;
/** For this time, in milliseconds, a new token is not replaced by another one, whoever asks for it. */
const RECENT_MS = 10_000;
/** How often it is tried to store new tokens while the database does not respond. */
const STORE_TRIES = 8;
/** The hidden tokens of a credential: it can be used through several schemes. The oldest are dropped. */
const MINTED_MAX = 8;

/** The tokens of all credentials, in this process. */
export type Tokens = ReturnType<typeof createTokens>;

/** What a refresh is for. */
interface Wanted {
  readonly source: TokenSource;
  /** The name of the hidden secret of an obtained token. Null for tokens that are refreshed. */
  readonly field: string | null;
  /** Whether the stored token will do. */
  readonly isDone: (record: CredentialRecord) => boolean;
  /** Whether it is tried although the last try has failed a moment ago. */
  readonly isForced: boolean;
}

/**
 * Creates what obtains and refreshes tokens. In one process, one promise does it for all who wait; over all copies, a lease of the database does. What it
 * does belongs to no request: the end of the request that began it does not end it, because the service may have rotated the refresh token already.
 */
export function createTokens(gateway: () => GatewayContext) {
  const running = new Map<string, Promise<CredentialRecord>>();
  const outside = new AsyncResource('tokens');

  function contextFor(organizationId: string): DomainContext {
    return asItself(gateway(), organizationId);
  }

  /** Returns the credential after its tokens are as wanted. */
  async function asWanted(organizationId: string, wanted: Wanted): Promise<CredentialRecord> {
    const key = JSON.stringify([organizationId, wanted.source.credential.id, wanted.field]);
    for (;;) {
      const before = running.get(key);
      if (!before) break;
      const record = await before;
      // What it was begun for can be less than what is wanted here.
      if (wanted.isDone(record)) return record;
      if (running.get(key) === before) running.delete(key);
    }
    const run = outside
      .runInAsyncScope(() => refreshedByOneCopy(contextFor(organizationId), wanted))
      .finally(() => {
        if (running.get(key) === run) running.delete(key);
      });
    running.set(key, run);
    return run;
  }

  return {
    /** @throws CredentialNotUsableError, ServiceFailedError, UnreadableSecretError */
    async accessToken({ viewer: { organizationId }, now, policy }: DomainContext, source: TokenSource): Promise<AccessToken> {
      const context = contextFor(organizationId);
      const { credential } = source;
      const field = isRefreshed(credential) ? null : await mintedField(context, source);
      const isFresh = (margin: number) => (record: CredentialRecord) => {
        const end = endOf(record, field);
        return end !== undefined && (end === null || end.getTime() - now().getTime() > margin);
      };
      const isDone = isFresh(policy.tokenRefreshMs);
      if (isDone(credential)) return opened(context, credential, field);
      // There is nothing to refresh: the token is used until it runs out.
      const isRenewable = field !== null || 'refreshToken' in credential.secrets;
      if (!isRenewable && isFresh(0)(credential)) return opened(context, credential, field);
      if (!isRenewable) throw new CredentialNotUsableError('NEEDS_AUTHORIZATION', credential.id);
      try {
        return await opened(context, await asWanted(organizationId, { source, field, isDone, isForced: false }), field);
      } catch (error) {
        // For the rest of its lifetime, the old token will do.
        if (!isFresh(0)(credential)) throw error;
        return opened(context, credential, field);
      }
    },

    /** @throws CredentialNotUsableError, ServiceFailedError, UnreadableSecretError */
    async another({ viewer: { organizationId } }: DomainContext, source: TokenSource, refused: Redacted): Promise<AccessToken | null> {
      const context = contextFor(organizationId);
      const { credential } = source;
      const field = isRefreshed(credential) ? null : await mintedField(context, source);
      if (field === null && !('refreshToken' in credential.secrets)) return null;
      const old = generations.get(refused) ?? generationOf(credential, field);
      const isDone = (record: CredentialRecord) => {
        const generation = generationOf(record, field);
        return generation !== undefined && generation !== old;
      };
      const current = await context.store.credentials.one({ id: credential.id });
      if (!current) return null;
      // A service that refuses each token must not cause a refresh with each request.
      const age = context.now().getTime() - (current.secrets[field ?? 'accessToken']?.sealedAt.getTime() ?? 0);
      if (!isDone(current) && current.token && age >= 0 && age < RECENT_MS) return null;
      const record = isDone(current) ? current : await asWanted(organizationId, { source, field, isDone, isForced: false });
      return opened(context, record, field);
    },

    /** Refreshes tokens though they are valid, unless that was done a moment ago. Returns the credential. */
    async renew({ viewer: { organizationId } }: DomainContext, credential: CredentialRecord): Promise<CredentialRecord> {
      const context = contextFor(organizationId);
      const since = context.now().getTime() - RECENT_MS;
      const scheme = isRefreshed(credential) ? null : await currentScheme(context, credential, null);
      const source = { credential, scheme };
      const field = isRefreshed(credential) ? null : await mintedField(context, source);
      const isDone = (record: CredentialRecord) => {
        const { refreshedAt = null } = record.token ?? {};
        return refreshedAt !== null && refreshedAt.getTime() >= since && endOf(record, field) !== undefined;
      };
      return asWanted(organizationId, { source, field, isDone, isForced: true });
    },

    /** Refreshes tokens though nobody uses them, if it is time. */
    async renewIfDue(organizationId: string, credential: CredentialRecord): Promise<void> {
      const { now, policy } = gateway();
      const isDone = (record: CredentialRecord) => refreshDue(record, policy) > now();
      await asWanted(organizationId, { source: { credential, scheme: null }, field: null, isDone, isForced: false });
    },

    /**
     * Runs something while no copy refreshes the tokens of a credential: for example a revocation, which must be of the tokens that the service has issued last.
     * After a short wait it runs though a refresh is under way; `isAlone` says whether none is.
     */
    async withoutRefresh<T>({ viewer: { organizationId } }: DomainContext, id: string, run: (isAlone: boolean) => Promise<T>): Promise<T> {
      const lease = leaseOf(contextFor(organizationId), id, null);
      const isAlone = await triedUntil(SHORT_WAIT_MS, () => beforeChanges(lease.take));
      try {
        return await run(isAlone);
      } finally {
        if (isAlone) await lease.release();
      }
    },

    /** Waits until nothing is under way. */
    async stop(): Promise<void> {
      const late = setTimeout(STOP_MS, undefined, { ref: false });
      await Promise.race([Promise.allSettled(running.values()), late]);
    },
  };
}

/** The generations of the tokens that were returned, so that a refused one can be recognized. */
const generations = new WeakMap<Redacted, string>();

function generationOf({ secrets }: CredentialRecord, field: string | null): string | undefined {
  return secrets[field ?? 'accessToken']?.generation;
}

function mintedOf({ token, secrets }: CredentialRecord, field: string): MintedToken | undefined {
  return field in secrets ? token?.minted.find((each) => each.field === field) : undefined;
}

/** Returns when the token of a credential ends: null if that is unknown, undefined if there is none. */
function endOf(record: CredentialRecord, field: string | null): Date | null | undefined {
  if (field !== null) return mintedOf(record, field)?.expiresAt;
  if (!('accessToken' in record.secrets)) return undefined;
  return (record.settings as { readonly accessTokenExpiresAt?: Date | null }).accessTokenExpiresAt ?? null;
}

async function opened({ store }: DomainContext, record: CredentialRecord, field: string | null): Promise<AccessToken> {
  const token = await store.secrets.open(record, field ?? 'accessToken');
  const generation = generationOf(record, field);
  if (generation !== undefined) generations.set(token, generation);
  const { tokenType } = field === null ? (record.settings as { readonly tokenType?: string | null }) : (mintedOf(record, field) ?? {});
  return { token, tokenType: tokenType ?? 'Bearer', expiresAt: endOf(record, field) ?? null };
}

/** Returns the lease of the tokens of a credential, or of one obtained token: whoever has it may refresh them. One copy has it at a time. */
function leaseOf({ store, now }: DomainContext, id: string, field: string | null) {
  const owner = randomUUID();
  const name = `${id} ${field ?? ''}`;
  return {
    take: () => store.leases.take(name, owner, now(), new Date(now().getTime() + LEASE_MS)),
    // If this fails, it ends by time.
    release: () => store.leases.release(name, owner).catch(() => {}),
  };
}

/** Tries something until it succeeds, for about `waitMs` milliseconds. Pauses between the tries, longer each time. Returns whether it has succeeded. */
async function triedUntil(waitMs: number, attempt: () => Promise<boolean>): Promise<boolean> {
  const begin = performance.now();
  for (let pause = POLL_MIN_MS; ; pause = Math.min(2 * pause, POLL_MAX_MS)) {
    if (await attempt()) return true;
    if (performance.now() - begin > waitMs) return false;
    await setTimeout(pause / 2 + Math.random() * (pause / 2));
  }
}

/** Does what is wanted when it is this copy’s turn, or waits until another copy has done it. */
async function refreshedByOneCopy(context: DomainContext, wanted: Wanted): Promise<CredentialRecord> {
  const { id } = wanted.source.credential;
  const lease = leaseOf(context, id, wanted.field);
  const look = async () => {
    const record = await current(context, id);
    const isDone = wanted.isDone(record);
    if (!isDone) refuseUnpromising(record, wanted, context.now());
    return { record, isDone };
  };
  let done: CredentialRecord | undefined;
  const isOver = await triedUntil(WAIT_MS, async () => {
    const { record, isDone } = await look();
    if (isDone) done = record;
    return isDone || lease.take();
  });
  if (done) return done;
  if (!isOver) throw new ServiceFailedError('TIMEOUT');
  try {
    // Another copy can have done it since the record was read.
    const { record, isDone } = await look();
    return isDone ? record : await obtained(context, record, wanted);
  } finally {
    await lease.release();
  }
}

async function current({ store }: DomainContext, id: string): Promise<CredentialRecord> {
  const record = await store.credentials.one({ id });
  if (!record) throw new CredentialNotUsableError('CREDENTIAL_MISSING', id);
  return record;
}

/** @throws CredentialNotUsableError, ServiceFailedError when another try would fail, or is too early */
function refuseUnpromising(record: CredentialRecord, { field, isForced }: Wanted, now: Date): void {
  if (field === null && isLost(record)) throw new CredentialNotUsableError('NEEDS_AUTHORIZATION', record.id);
  const { failure = null, retryAt = null, failureCode = null } = record.token ?? {};
  // What else stands in the way costs the service nothing, and can have been put right.
  if (!isForced && failure === 'TOKEN_REQUEST_FAILED' && retryAt !== null && retryAt > now) {
    throw failureCode === null ? new ServiceFailedError('WAITING') : new ServiceFailedError('REFUSED', failureCode);
  }
}

/** Asks the service for tokens, and stores them. Returns the credential with them. Call it with the lease. */
async function obtained(context: DomainContext, record: CredentialRecord, wanted: Wanted): Promise<CredentialRecord> {
  const { source, field } = wanted;
  const finding = { connectionId: null, credentialIds: [record.id] };
  let answer: TokenAnswer;
  let requested: readonly string[];
  let scheme: AuthScheme | null;
  try {
    scheme = field === null ? await currentScheme(context, record, source.scheme) : source.scheme;
    const request = await tokenRequest(context, { credential: record, scheme });
    requested = request.scopes;
    const ask = () => context.oauth.requestToken(request.client, request.grant);
    const begin = performance.now();
    try {
      answer = await ask();
    } catch (error) {
      if (!(error instanceof TokenRequestError && error.isAnswerLost) || performance.now() - begin > AGAIN_MS) throw error;
      // The service may have answered with a new refresh token. Many services accept the old one for a moment, unless another copy has used it.
      const now = await current(context, record.id);
      if (materialOf(now) !== materialOf(record)) return now;
      answer = await ask();
    }
  } catch (error) {
    const failure = failureOf(error, field === null);
    if (failure && !(await storeFailure(context, record, failure, error instanceof TokenRequestError ? error.code : null))) {
      // It failed with what is not stored any more, so nothing was learned about what somebody else has written.
      const now = await current(context, record.id);
      if (wanted.isDone(now)) return now;
      throw error instanceof TokenRequestError ? serviceFailed(error) : error;
    }
    // That the tokens are not renewed any more was learned from nobody: the state of the credential follows from what is stored.
    if (failure && failure !== 'RENEWAL_STOPPED') noteFinding(context, { ...finding, problem: failure });
    if (failure === 'AUTHORIZATION_LOST') throw new CredentialNotUsableError('NEEDS_AUTHORIZATION', record.id);
    throw error instanceof TokenRequestError ? serviceFailed(error) : error;
  }
  const { stored, isDropped } = await retriedIfUnavailable(() => storeTokens(context, record, field, answer, requested));
  // That it works is stored with the tokens. This ends the counting of failures, and the client works too.
  if (!isDropped)
    noteFinding(context, { connectionId: null, credentialIds: [...new Set([record.id, ...credentialsOf(scheme)])], problem: null });
  return stored;
}

/** Returns what a failure means for the credential. Undefined if it says nothing about it. */
function failureOf(error: unknown, isRefresh: boolean): ProblemCode | undefined {
  if (error instanceof TokenRequestError) {
    // A refused refresh token stays refused. A refused password can be the right one again, and it costs nobody a consent.
    return isRefresh && error.isFinal && error.code === 'invalid_grant' ? 'AUTHORIZATION_LOST' : 'TOKEN_REQUEST_FAILED';
  }
  if (error instanceof CredentialNotUsableError && error.reason !== 'CREDENTIAL_MISSING') return 'RENEWAL_STOPPED';
  return error instanceof UnreadableSecretError ? 'SECRET_UNREADABLE' : undefined;
}

/** Runs a transaction again while the database does not respond: what it stores cannot be had again. */
async function retriedIfUnavailable<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof UnavailableError) || tries === STORE_TRIES) throw error;
      await setTimeout(100 * 2 ** tries);
    }
  }
}

/**
 * Stores tokens, in one transaction: the new refresh token is stored before anybody uses the new access token. Neither the version nor `updatedAt` change. If
 * somebody has meanwhile written other tokens, the answer is dropped: it belongs to the old ones. Otherwise it proves that the credential works.
 */
function storeTokens(
  { store, now }: DomainContext,
  before: CredentialRecord,
  field: string | null,
  { accessToken, refreshToken, tokenType, expiresAt, scopes }: TokenAnswer,
  requested: readonly string[],
): Promise<{ readonly stored: CredentialRecord; readonly isDropped: boolean }> {
  const { id } = before;
  return store.transaction(async () => {
    const record = await store.credentials.one({ id });
    if (!record) throw new CredentialNotUsableError('CREDENTIAL_MISSING', id);
    const sent = field === null ? 'refreshToken' : field;
    if (record.secrets[sent]?.generation !== before.secrets[sent]?.generation) return { stored: record, isDropped: true };
    const at = now();
    const rewrite = async (changes: Partial<CredentialRecord>) => ({
      stored: await store.credentials.rewrite(record, { ...changes, findings: [], checkedAt: at }),
      isDropped: false,
    });
    const known = record.token ?? noToken;
    const granted = scopes ?? requested;
    const token: StoredToken = { ...known, scopes: [...granted], expiresAt, refreshedAt: at, ...noFailure };
    if (field === null) {
      const secrets = { accessToken, ...(refreshToken && { refreshToken }) };
      await store.secrets.unset(id, Object.keys(secrets));
      const sealed = await store.secrets.put(record, secrets, at);
      // What comes of a refresh token belongs to who has written that.
      const { byEndUser } = record.secrets.refreshToken!;
      if (byEndUser && sealed.refreshToken) sealed.refreshToken = { ...sealed.refreshToken, byEndUser };
      const settings = {
        ...record.settings,
        accessTokenExpiresAt: expiresAt,
        ...(scopes && { scopes }),
      };
      return rewrite({ settings, secrets: { ...record.secrets, ...sealed }, token });
    }
    const kept = known.minted.filter((each) => each.field !== field && (each.expiresAt === null || each.expiresAt > at));
    const minted: MintedToken[] = [...kept.slice(-(MINTED_MAX - 1)), { field, tokenType, scopes: [...granted], expiresAt }];
    const dropped = hiddenSecrets(record.secrets).filter((each) => each === field || !minted.some((one) => one.field === each));
    await store.secrets.unset(id, [...new Set([...dropped, field])]);
    const sealed = await store.secrets.put(record, { [field]: accessToken }, at);
    const rest = Object.fromEntries(Object.entries(record.secrets).filter(([name]) => !dropped.includes(name)));
    return rewrite({ secrets: { ...rest, ...sealed }, token: { ...token, minted } });
  });
}

const noFailure = { failure: null, failureCode: null, failures: 0, retryAt: null } as const;

/**
 * Notes that tokens could not be had. If somebody has meanwhile written what they are made from, it says nothing about that: then it returns false, and
 * nothing is written.
 */
async function storeFailure(
  context: DomainContext,
  before: CredentialRecord,
  problem: ProblemCode,
  code: TokenErrorCode | null,
): Promise<boolean> {
  const { store, now } = context;
  const { id } = before;
  return store.transaction(async () => {
    const record = await store.credentials.one({ id });
    if (!record || materialOf(record) !== materialOf(before)) return false;
    const known = record.token ?? noToken;
    const isOver = problem === 'AUTHORIZATION_LOST';
    const wait = Math.min(RETRY_MIN_MS * 2 ** Math.min(known.failures, 20), RETRY_MAX_MS);
    const retryAt = isOver ? null : new Date(now().getTime() + wait);
    const failureCode = code !== null && tokenErrorCodes[code].isTold ? code : null;
    await store.credentials.rewrite(record, {
      token: { ...known, failure: problem, failureCode, failures: Math.min(known.failures + 1, FAILURES_MAX), retryAt },
    });
    if (known.failure === problem || !(problem in audited)) return true;
    const action = { name: 'refreshCredential', noun: 'credential', address: null, requestId: null } as const;
    await recordDone({ ...context, action }, id, audited[problem]);
    return true;
  });
}

const FAILURES_MAX = 1_000_000;

/** The failures that end the refreshing of tokens, and the reason in the audit log. */
const audited: Readonly<Partial<Record<ProblemCode, string>>> = {
  AUTHORIZATION_LOST: 'the service does not renew the tokens any more',
  RENEWAL_STOPPED: 'the tokens are not renewed any more: there is no auth scheme or client that may be used',
};

/** Returns a text that differs if somebody has written other secrets. The access token does not matter. */
function materialOf({ secrets }: CredentialRecord): string {
  const names = shownSecrets(secrets).filter((name) => name !== 'accessToken');
  return JSON.stringify(names.sort().map((name) => [name, secrets[name]!.generation]));
}

/**
 * Returns an access token that is valid now: the stored one, or one that is obtained or refreshed for this. Its refresh token is stored before.
 * @throws CredentialNotUsableError, ServiceFailedError, UnreadableSecretError
 */
export function accessToken(context: DomainContext, source: TokenSource): Promise<AccessToken> {
  return context.tokens.accessToken(context, source);
}

/**
 * Returns another token after the service has refused this one (401): the one that has replaced it, or one that is obtained or refreshed. Null if there is
 * no other. @throws CredentialNotUsableError, ServiceFailedError, UnreadableSecretError
 */
export function anotherAccessToken(context: DomainContext, source: TokenSource, refused: Redacted): Promise<AccessToken | null> {
  return context.tokens.another(context, source, refused);
}
