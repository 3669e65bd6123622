import type { CredentialRecord } from '../store/credential.ts';
import { type Count, EXAMINED_MAX, type Filter, type Page, type PageOf, type PageRequest, type PageStart } from '../store/records.ts';
import type { DomainContext } from './context.ts';

/** The member of a filter that selects the credentials that nothing names, or the others. No store knows it: it is about two other nouns. */
export interface UseFilter {
  readonly unused?: boolean;
}

const BATCH = 250;
/** At most so many credentials are counted, in batches of the largest size. */
const COUNTED_MAX = 10_000;
/** Counting ends after this time, in milliseconds. */
const COUNT_MS = 1_000;

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
    const used = await usedAmong(context, inReadingOrder);
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

/** Counts them. Null if it takes too long. */
export async function countByUse(context: DomainContext, filter: Filter<CredentialRecord>, unused: boolean): Promise<Count | null> {
  const until = performance.now() + COUNT_MS;
  let count = 0;
  let request: PageRequest = { limit: EXAMINED_MAX, sortField: 'createdAt', descending: true };
  for (let examined = 0; examined < COUNTED_MAX; ) {
    if (performance.now() > until) return null;
    const { records, hasMore } = await context.store.credentials.evenAltered.page(filter, request);
    const used = await usedAmong(context, records);
    count += records.filter(({ id }) => used.has(id) !== unused).length;
    examined += records.length;
    const last = records.at(-1);
    if (!hasMore || !last) return { count, isExact: true };
    request = { ...request, after: positionOf(last, request) };
  }
  return { count, isExact: false };
}

/** Returns the ids of those credentials that a connection or a connector names. */
async function usedAmong({ store }: DomainContext, credentials: readonly CredentialRecord[]): Promise<ReadonlySet<string>> {
  const ids = credentials.map(({ id }) => id);
  if (ids.length === 0) return new Set();
  const [connections, connectors] = await Promise.all([
    store.connections.containedIn('credentialIds', ids),
    store.connectors.containedIn('credentialIds', ids),
  ]);
  return new Set([...connections, ...connectors]);
}
