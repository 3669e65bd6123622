import type { Viewer } from '../access/viewer.ts';
import { UnauthenticatedError, UnavailableError } from '../errors.ts';
import type { Store } from '../store/index.ts';
import type { RevocationRecord } from '../store/revocation.ts';
import { createKeyTurns } from './key-turns.ts';

/** How often each copy of the gateway reads what other copies have revoked, in milliseconds. */
export const REVOCATION_POLL_MS = 500;
/** After this time, in milliseconds, every copy that runs normally has read a revocation or a deletion. */
export const REVOCATION_SPREAD_MS = 4 * REVOCATION_POLL_MS;
/**
 * How far back the notices are read each time: longer than any transaction, and than clocks of machines usually differ. What a longer difference
 * hides is found by the next full read.
 */
const NOTICES_MS = 3 * 60_000;
/** How often everything is read. */
const FULL_MS = 5 * 60_000;
/** After a break of this length, everything is read. */
const BREAK_MS = 60_000;
/** For how long requests are accepted while the revocations cannot be read. */
const STALE_MS = 60_000;
const RETRY_SECONDS = 5;

/** Revocations by subject or end user: the time before which tokens are refused, and the time from which on they have all expired. */
type Times = Map<string, { readonly before: number; readonly expiresAt: number }>;

export type RevocationList = ReturnType<typeof createRevocationList>;

/**
 * Creates the list of revoked tokens and deleted organizations, of all organizations and in memory, so that no request reads it from the
 * database. `refresh` must be called once before the first request, and then every REVOCATION_POLL_MS.
 *
 * The list only grows until tokens have expired: whoever removes a revocation from the database, or sets the clock back, does not bring back
 * a token on a running copy. `elapsed` returns the milliseconds since some moment; a change of the system's clock must not affect it.
 */
export function createRevocationList({
  stores,
  now,
  elapsed,
}: {
  readonly stores: Store;
  readonly now: () => Date;
  readonly elapsed: () => number;
}) {
  const deleted = new Set<string>();
  const subjects = new Map<string, Times>();
  const endUsers = new Map<string, Times>();
  /** The ids of the notices that the last refresh has seen. */
  let seen = new Set<string>();
  let refreshedAt = Number.NEGATIVE_INFINITY;
  let readAllAt = Number.NEGATIVE_INFINITY;
  let last: Promise<void> = Promise.resolve();

  function add({ organizationId, subject, endUserId, ...record }: RevocationRecord): void {
    const lists = subject === null ? endUsers : subjects;
    const times: Times = lists.get(organizationId) ?? new Map();
    lists.set(organizationId, times);
    const whose = subject ?? endUserId!;
    const known = times.get(whose);
    times.set(whose, {
      before: Math.max(record.before.getTime(), known?.before ?? 0),
      expiresAt: Math.max(record.expiresAt.getTime(), known?.expiresAt ?? 0),
    });
  }

  async function readAll(): Promise<void> {
    for (const organizationId of await stores.deletedOrganizations()) addDeleted(organizationId);
    for (const organizationId of await stores.revocations.organizations()) {
      for (const record of await stores.of(organizationId).revocations.all()) add(record);
    }
    for (const lists of [subjects, endUsers]) {
      for (const [organizationId, times] of lists) {
        for (const [whose, { expiresAt }] of times) if (expiresAt <= now().getTime()) times.delete(whose);
        if (times.size === 0) lists.delete(organizationId);
      }
    }
  }

  async function readNews(): Promise<void> {
    const notices = await stores.revocations.notices(new Date(now().getTime() - NOTICES_MS));
    const news = notices.filter(({ id }) => !seen.has(id));
    for (const organizationId of new Set(news.map((notice) => notice.of))) {
      const { revocations, organization } = stores.of(organizationId);
      const ofOne = news.filter((notice) => notice.of === organizationId);
      const ids = ofOne.flatMap(({ revocationId }) => revocationId ?? []);
      if (ids.length > 0) for (const record of await revocations.byIds(ids)) add(record);
      if (ofOne.length > ids.length && (await organization.state()) === 'deleted') addDeleted(organizationId);
    }
    seen = new Set(notices.map(({ id }) => id));
  }

  async function refresh(): Promise<void> {
    const startedAt = elapsed();
    const mustReadAll = startedAt - readAllAt >= FULL_MS || startedAt - refreshedAt >= BREAK_MS;
    await readNews();
    if (mustReadAll) {
      await readAll();
      readAllAt = startedAt;
    }
    refreshedAt = startedAt;
  }

  function addDeleted(organizationId: string): void {
    deleted.add(organizationId);
    subjects.delete(organizationId);
    endUsers.delete(organizationId);
  }

  return {
    ...createKeyTurns(),
    /** Adds a revocation that this copy has written. */
    add,
    /** Adds an organization that this copy has deleted. */
    addDeleted,

    /** Returns the number of subjects and end users of an organization whose tokens are revoked. */
    countOf(organizationId: string): number {
      return (subjects.get(organizationId)?.size ?? 0) + (endUsers.get(organizationId)?.size ?? 0);
    },

    /** Reads what other copies have written. A call that meets another one waits for it and then reads again. */
    refresh(): Promise<void> {
      last = last.catch(() => {}).then(refresh);
      return last;
    },

    /**
     * Refuses a viewer whose token is revoked or whose organization is deleted.
     * @throws UnauthenticatedError
     * @throws UnavailableError when the revocations could not be read for a minute
     */
    refuseRevoked({ organizationId, kind, subject, issuedAt }: Viewer): void {
      if (elapsed() - refreshedAt > STALE_MS) {
        throw new UnavailableError('The gateway cannot check whether the token is revoked.', RETRY_SECONDS);
      }
      if (deleted.has(organizationId)) throw new UnauthenticatedError('The organization of this token has been deleted.');
      if (kind !== 'token' && kind !== 'endUser') return;
      const revoked = (kind === 'token' ? subjects : endUsers).get(organizationId)?.get(subject);
      if (revoked && !wasIssuedSince(issuedAt, revoked.before)) throw new UnauthenticatedError('The token has been revoked.');
    },
  };
}

/** Returns whether a token was issued at or after a time. False if the token does not say when it was issued. */
export function wasIssuedSince(issuedAt: Date | undefined, before: number): boolean {
  return issuedAt !== undefined && issuedAt.getTime() >= before;
}
