import type { ArgBuilder, ObjectRef, OutputRef } from '@pothos/core';
import { type Noun, readScope } from '../../access/scopes.ts';
import {
  type BaseRecord,
  COUNT_MAX,
  type Count,
  type Filter,
  type Page,
  type PageRequest,
  type RecordOf,
  shown,
} from '../../domain/reading.ts';
import { ValidationError } from '../../errors.ts';
import type { Builder, GraphQLContext, SchemaTypes } from './builder.ts';
import { type CostExtensions, PAGE_DEFAULT, PAGE_MAX } from './cost.ts';
import { type CursorList, decodeCursor, encodeCursor } from './cursor.ts';
import { nounName } from './global-id.ts';
import { loadersFor } from './loaders.ts';
import { recordSortFields } from './record-fields.ts';
import type { ShareableExtensions } from './subgraph-extensions.ts';

/** The requested part of a list, with the list that its cursors are valid for. */
interface ListRequest extends PageRequest {
  readonly noun: CursorList['noun'];
}

/** A loaded page. The count is computed only if it is selected. */
export interface PageSource<N extends Noun> {
  readonly page: Page<RecordOf[N]>;
  readonly request: ListRequest;
  readonly count: () => Promise<Count | null>;
}

/** Returns a function that counts when it is first called. */
function countedOnce(count: () => Promise<Count | null>): () => Promise<Count | null> {
  let counting: Promise<Count | null> | undefined;
  return () => {
    counting ??= count();
    return counting;
  };
}

/** The arguments that select a part of a list. */
export interface PageArgs {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
}

/** The fields by which a list can be sorted: the GraphQL value and the record's field. `prepare` makes sure that the stored values are right. */
export type SortFields = Readonly<
  Record<string, { readonly field: string; readonly description: string; readonly prepare?: (context: GraphQLContext) => Promise<void> }>
>;
export interface SortArg {
  readonly field?: string | null;
  readonly direction?: string | null;
}

export type Pages = ReturnType<typeof addPages>;

/** Adds the shared types of lists. Does not use Pothos's Relay plugin, because its type names clash with the type `Connection`. */
export function addPages(builder: Builder) {
  const pageInfo = builder.objectRef<PageSource<Noun>>('PageInfo').implement({
    description: 'The position of a page in its list.',
    extensions: { isShareable: true } satisfies ShareableExtensions,
    fields: (t) => ({
      hasNextPage: t.boolean({
        description: 'Whether more records follow `endCursor`. Exact when paging forward; when paging backward, always true.',
        resolve: ({ page, request }) => backwards(request) || page.hasMore,
      }),
      hasPreviousPage: t.boolean({
        description: 'Whether records precede `startCursor`. Exact when paging backward; when paging forward, true if `after` was given.',
        resolve: ({ page, request }) => (backwards(request) ? page.hasMore : request.after !== undefined),
      }),
      startCursor: t.string({
        nullable: true,
        description:
          'The cursor of the first record. If more records precede a page that is shorter than requested, the position where the previous page ends. Null if the page is empty and no records precede it.',
        resolve: ({ page, request }) => edgeCursor(page, request, backwards(request), page.records[0]),
      }),
      endCursor: t.string({
        nullable: true,
        description:
          'The cursor of the last record, for `after` of the next page. If more records follow a page that is shorter than requested, the position where the next page begins. Null if the page is empty and no records follow it.',
        resolve: ({ page, request }) => edgeCursor(page, request, !backwards(request), page.records.at(-1)),
      }),
    }),
  });
  const countPrecision = builder.enumType('CountPrecision', {
    description: 'What a count says.',
    values: {
      EXACT: { description: 'There are so many records.' },
      AT_LEAST: { description: 'There are so many records or more: counting has stopped.' },
    } as const,
  });
  const direction = builder.enumType('SortDirection', {
    description: 'The direction of a sort.',
    values: { ASC: { description: 'Ascending: oldest first, or in alphabetical order.' }, DESC: { description: 'Descending.' } } as const,
  });

  return {
    countPrecision,

    /**
     * Adds the page type of a noun, such as `ConnectionPage`, and its edge type. `name` is that of another type whose records are all records of
     * this noun and of others.
     */
    pageType<N extends Noun>(noun: N, node: OutputRef<RecordOf[N]>, typeName = nounName(noun)): ObjectRef<SchemaTypes, PageSource<N>> {
      const name = `${typeName}Page`;
      const authScopes = { scope: readScope(noun) };
      const edge = builder.objectRef<{ node: RecordOf[N]; request: ListRequest }>(`${name}Edge`).implement({
        description: 'A record and its cursor.',
        authScopes,
        fields: (t) => ({
          cursor: t.string({
            description: 'The position in the list, for the same sort field. Opaque; contains no secret.',
            resolve: ({ node, request }) => encodeCursor(node, request),
          }),
          node: t.field({ type: node as never, description: 'The record.', resolve: (source) => source.node as never }),
        }),
      });
      return builder.objectRef<PageSource<N>>(name).implement({
        description:
          'A page of a list. Page forward with `first` and `after`, or backward with `last` and `before`; do not mix them. If no index serves the filters and the sort together, at most 1,000 records are read for a page, and it can be shorter than requested, or empty, although `hasNextPage` is true: continue at `endCursor`.',
        authScopes,
        extensions: { isPage: true } satisfies CostExtensions,
        fields: (t) => ({
          nodes: t.field({
            type: [node] as never,
            description: 'The records.',
            extensions: { cost: { items: 'page' } } satisfies CostExtensions,
            resolve: ({ page }, _args, context) => shown(context, noun, page.records) as never,
          }),
          edges: t.field({
            type: [edge],
            description: 'The records, each with its cursor.',
            extensions: { cost: { items: 'page' } } satisfies CostExtensions,
            resolve: ({ page, request }, _args, context) => shown(context, noun, page.records).map((record) => ({ node: record, request })),
          }),
          pageInfo: t.field({
            type: pageInfo,
            description: 'The position of the page in the list.',
            resolve: (source) => source as never,
          }),
          totalCount: t.int({
            nullable: true,
            extensions: { cost: { own: 20 } } satisfies CostExtensions,
            description:
              'The number of records in the whole list: exact up to 10,000. If there are more, or if no index serves the filter and more than 10,000 records would have to be read, it is a lower bound, and `totalCountPrecision` is `AT_LEAST`. Needs a further query. Null if counting takes too long: longer than a second, unless the operator has set another time.',
            resolve: async ({ count }) => (await count())?.count ?? null,
          }),
          totalCountPrecision: t.field({
            type: countPrecision,
            nullable: true,
            extensions: { cost: { own: 20 } } satisfies CostExtensions,
            description: 'Whether `totalCount` is exact. Null if `totalCount` is null.',
            resolve: async ({ count }) => {
              const counted = await count();
              return counted && (counted.isExact ? ('EXACT' as const) : ('AT_LEAST' as const));
            },
          }),
        }),
      });
    },

    /** Adds the type of a sort argument, such as `CredentialSort { field direction }`. */
    sort(name: string, fields: SortFields) {
      const field = builder.enumType(`${name}Field`, {
        description: 'The fields by which the list can be sorted.',
        values: Object.fromEntries(Object.entries(fields).map(([value, { description }]) => [value, { description }])),
      });
      return builder.inputType(name, {
        description: 'The order of a list. Records with equal values are sorted by id.',
        fields: (t) => ({
          field: t.field({ type: field, defaultValue: 'CREATED_AT', description: 'The field to sort by.' }),
          direction: t.field({ type: direction, defaultValue: 'DESC', description: 'The direction.' }),
        }),
      });
    },
  };
}

/** Returns the arguments of every page. */
export function pageArgs(t: ArgBuilder<Builder['$inferSchemaTypes']>) {
  return {
    first: t.int({ description: `The page size: 1 to ${PAGE_MAX}, ${PAGE_DEFAULT} by default.` }),
    after: t.string({ description: 'Start after this cursor.' }),
    last: t.int({ description: `The page size before \`before\`: 1 to ${PAGE_MAX}.` }),
    before: t.string({ description: 'End before this cursor. Requires `last`.' }),
  };
}

/**
 * Loads a page of the connections and connectors that use something, newest first. Each record is marked with its type. Connectors are left out, but
 * counted, unless `showsConnectors`. Uses one command if few records use it, or a command for each noun, however many pages are loaded at once.
 *
 * @throws ValidationError like `loadPage`
 */
export async function loadUsagePage(
  { loaders }: GraphQLContext,
  filters: { readonly connections: Filter<RecordOf['connection']>; readonly connectors: Filter<RecordOf['connector']> },
  showsConnectors: boolean,
  args: PageArgs,
): Promise<PageSource<'connection'>> {
  const request = readPageArgs('credentialUsage', args, 'createdAt', true);
  const connections = { filter: filters.connections, request };
  const [first, second] = showsConnectors
    ? await loaders.uses.load({ connections, connectors: { filter: filters.connectors, request } })
    : [await loaders.connection.page.load(connections), undefined];
  const pages: readonly Page<BaseRecord>[] = second ? [first, second] : [first];
  let all: BaseRecord[] = first.records.map((record) => ({ ...record, __typename: nounName('connection') }));
  for (const record of second?.records ?? []) all.push({ ...record, __typename: nounName('connector') } as BaseRecord);
  const sign = backwards(request) ? -1 : 1;
  const inReadingOrder = (a: Position, b: Position) => sign * (b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1));
  // Nobody knows what comes after the first position where reading has stopped.
  const [stop] = pages
    .flatMap(({ continuesAt }) => (continuesAt ? [{ createdAt: continuesAt.value as Date, id: continuesAt.id }] : []))
    .sort(inReadingOrder);
  if (stop) all = all.filter((record) => record.id === stop.id || inReadingOrder(record, stop) < 0);
  all.sort(inReadingOrder);
  const records = all.slice(0, request.limit);
  if (backwards(request)) records.reverse();
  const hasMore = all.length > request.limit || pages.some((page) => page.hasMore);
  const continuesAt = stop && all.length <= request.limit ? { value: stop.createdAt, id: stop.id } : undefined;
  return {
    page: { records: records as RecordOf['connection'][], hasMore, ...(continuesAt && { continuesAt }) },
    request,
    count: countedOnce(async () => {
      const counts = await Promise.all([
        loaders.connection.count.load(filters.connections),
        loaders.connector.count.load(filters.connectors),
      ]);
      if (counts.includes(null)) return null;
      const sum = counts.reduce((total, each) => total + each!.count, 0);
      return { count: Math.min(sum, COUNT_MAX), isExact: sum <= COUNT_MAX && counts.every((each) => each!.isExact) };
    }),
  };
}

/** Loads a page of a list. @throws ValidationError when the arguments contradict each other or a cursor does not belong to this list */
export async function loadPage<N extends Noun>(
  context: GraphQLContext,
  noun: N,
  filter: Filter<RecordOf[N]>,
  args: PageArgs,
  sort: SortArg | null | undefined = undefined,
  sortFields: SortFields = recordSortFields,
): Promise<PageSource<N>> {
  const { field: sortField, prepare } = sortFields[sort?.field ?? 'CREATED_AT']!;
  const request = readPageArgs(noun, args, sortField, (sort?.direction ?? 'DESC') === 'DESC');
  await prepare?.(context);
  const { page, count } = loadersFor(context.loaders, noun);
  return { page: await page.load({ filter, request }), request, count: countedOnce(() => count.load(filter)) };
}

function readPageArgs(noun: CursorList['noun'], args: PageArgs, sortField: string, descending: boolean): ListRequest {
  const { first, last, after, before } = args;
  if (first != null && last != null) throw new ValidationError([{ path: ['last'], message: 'must not be used together with first' }]);
  if (after != null && before != null) throw new ValidationError([{ path: ['before'], message: 'must not be used together with after' }]);
  if (last != null && before == null) throw new ValidationError([{ path: ['last'], message: 'requires before' }]);
  if (before != null && last == null) throw new ValidationError([{ path: ['before'], message: 'requires last' }]);
  const limit = last ?? first ?? PAGE_DEFAULT;
  if (limit < 1 || limit > PAGE_MAX) {
    throw new ValidationError([{ path: [last == null ? 'first' : 'last'], message: `must be from 1 to ${PAGE_MAX}` }]);
  }
  const list = { noun, sortField };
  return {
    ...list,
    limit,
    descending,
    isBounded: true,
    ...(after != null && { after: decodeCursor(after, list, ['after']) }),
    ...(before != null && { before: decodeCursor(before, list, ['before']) }),
  };
}

interface Position {
  readonly createdAt: Date;
  readonly id: string;
}

/** Returns the cursor at an end of a page: at the end where reading has stopped, the position where it goes on. */
function edgeCursor<R extends object>(
  { continuesAt }: Page<R>,
  request: ListRequest,
  isEndOfReading: boolean,
  record: R | undefined,
): string | null {
  if (isEndOfReading && continuesAt) return encodeCursor({ id: continuesAt.id, [request.sortField]: continuesAt.value }, request);
  return record ? encodeCursor(record, request) : null;
}

function backwards({ before }: PageRequest): boolean {
  return before !== undefined;
}
