import type { CredentialRecord } from '../store/credential.ts';
import type { OrganizationStore } from '../store/index.ts';
import { type Count, EXAMINED_MAX, type Filter, type Page, type PageOf, type PageRequest, type PageStart } from '../store/records.ts';
import type { DomainContext } from './context.ts';

/** The member of a filter that selects the credentials that nothing names, or the others. No store knows it: it is about two other nouns. */
export interface UseFilter {
  readonly unused?: boolean;
}

const BATCH = 250;
/** At most so many credentials are looked at to count them. */
const COUNTED_MAX = 10_000;

/** Answers those of some requests that filter by use one by one, and all others together. Returns the answers in the order of the requests. */
export async function byUse<Asked, F extends object, Answer>(
  asked: readonly Asked[],
  filterOf: (each: Asked) => F,
  {
    plain,
    unused,
  }: {
    readonly plain: (some: readonly Asked[]) => Promise<readonly Answer[]>;
    readonly unused: (each: Asked, filter: never, unused: boolean) => Promise<Answer>;
  },
): Promise<Answer[]> {
  const isByUse = asked.map((each) => (filterOf(each) as UseFilter).unused !== undefined);
  const others = asked.filter((_, at) => !isByUse[at]);
  const answers = [...(others.length > 0 ? await plain(others) : [])];
  return Promise.all(
    asked.map((each, at) => {
      if (!isByUse[at]) return answers.shift()!;
      const { unused: wanted, ...filter } = filterOf(each) as F & UseFilter;
      return unused(each, filter as never, wanted!);
    }),
  );
}

/**
 * Reads a page of the credentials that nothing names, or of those that something names. Nothing about it is stored with a credential: what is bound
 * and unbound by many at once would have to be counted there. So at most `EXAMINED_MAX` credentials are read and looked up, and the page can be short.
 */
export async function pageByUse(
  context: DomainContext,
  { filter, request }: PageOf<CredentialRecord>,
  unused: boolean,
): Promise<Page<CredentialRecord>> {
  const isBackward = request.before !== undefined;
  const found: CredentialRecord[] = [];
  let next: PageRequest = request;
  for (let examined = 0; ; examined += BATCH) {
    const { records, hasMore, continuesAt, wasExamined } = await context.store.credentials.evenAltered.page(filter, {
      ...next,
      limit: BATCH,
    });
    const inReadingOrder = isBackward ? records.toReversed() : records;
    const used = await usedAmong(
      context.store,
      inReadingOrder.map(({ id }) => id),
    );
    found.push(...inReadingOrder.filter(({ id }) => used.has(id) !== unused));
    const last = inReadingOrder.at(-1);
    const position = continuesAt ?? (last && positionOf(last, request));
    const isEnough = found.length > request.limit;
    // As many as allowed can have been read for this batch alone.
    if (isEnough || !hasMore || !position || wasExamined || examined + BATCH >= EXAMINED_MAX) {
      const page = found.slice(0, request.limit);
      if (isBackward) page.reverse();
      return { records: page, hasMore: isEnough || hasMore, ...(!isEnough && hasMore && position && { continuesAt: position }) };
    }
    next = { ...request, [isBackward ? 'before' : 'after']: position };
  }
}

function positionOf(record: CredentialRecord, { sortField }: PageRequest): PageStart {
  return { value: record[sortField as keyof CredentialRecord] as PageStart['value'], id: record.id };
}

/** Counts them: exactly if there are at most `COUNTED_MAX` credentials to look at. Null if it takes too long. */
export async function countByUse(
  { store, policy }: DomainContext,
  filter: Filter<CredentialRecord>,
  unused: boolean,
): Promise<Count | null> {
  const until = performance.now() + policy.countTimeMs;
  const found = await store.credentials.idsAmong(filter, COUNTED_MAX);
  if (!found) return null;
  const { ids, isAll } = found;
  let used = 0;
  for (let at = 0; at < ids.length; at += EXAMINED_MAX) {
    if (performance.now() > until) return null;
    used += (await usedAmong(store, ids.slice(at, at + EXAMINED_MAX))).size;
  }
  return { count: unused ? ids.length - used : used, isExact: isAll };
}

/** Returns the ids of those credentials that a connection or a connector names. */
async function usedAmong(store: OrganizationStore, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const [connections, connectors] = await Promise.all([
    store.connections.containedIn('credentialIds', ids),
    store.connectors.containedIn('credentialIds', ids),
  ]);
  return new Set([...connections, ...connectors]);
}
