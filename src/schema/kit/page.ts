import type { ArgBuilder, ObjectRef, OutputRef } from '@pothos/core';
import { type Noun, readScope } from '../../access/scopes.ts';
import { type BaseRecord, COUNT_MAX, type Filter, type Page, type PageRequest, type RecordOf, shown } from '../../domain/reading.ts';
import { ValidationError } from '../../errors.ts';
import type { Builder, GraphQLContext, SchemaTypes } from './builder.ts';
import { type CostExtensions, PAGE_DEFAULT, PAGE_MAX } from './cost.ts';
import { type CursorList, decodeCursor, encodeCursor } from './cursor.ts';
import { nounName } from './global-id.ts';
import { loadersFor } from './loaders.ts';
import { recordSortFields } from './record-fields.ts';

/** The requested part of a list, with the list that its cursors are valid for. */
interface ListRequest extends PageRequest {
  readonly noun: CursorList['noun'];
}

/** A loaded page. The count is computed only if it is selected. */
export interface PageSource<N extends Noun> {
  readonly page: Page<RecordOf[N]>;
  readonly request: ListRequest;
  readonly count: () => Promise<number | null>;
}

/** The arguments that select a part of a list. */
export interface PageArgs {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
}

/** The fields by which a list can be sorted: the GraphQL value and the record's field. */
export type SortFields = Readonly<Record<string, { readonly field: string; readonly description: string }>>;
export interface SortArg {
  readonly field?: string | null;
  readonly direction?: string | null;
}

export type Pages = ReturnType<typeof addPages>;

/** Adds the shared types of lists. Does not use Pothos's Relay plugin, because its type names clash with the type `Connection`. */
export function addPages(builder: Builder) {
  const pageInfo = builder.objectRef<PageSource<Noun>>('PageInfo').implement({
    description: 'The position of a page in its list.',
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
        description: 'The cursor of the first record. Null if the page is empty.',
        resolve: ({ page, request }) => (page.records[0] ? encodeCursor(page.records[0], request) : null),
      }),
      endCursor: t.string({
        nullable: true,
        description: 'The cursor of the last record, for `after` of the next page. Null if the page is empty.',
        resolve: ({ page, request }) => (page.records.length > 0 ? encodeCursor(page.records.at(-1)!, request) : null),
      }),
    }),
  });
  const direction = builder.enumType('SortDirection', {
    description: 'The direction of a sort.',
    values: { ASC: { description: 'Ascending: oldest first, or in alphabetical order.' }, DESC: { description: 'Descending.' } } as const,
  });

  return {
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
        description: 'A page of a list. Page forward with `first` and `after`, or backward with `last` and `before`; do not mix them.',
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
              'The number of records in the whole list. Needs a further query. Null if more than 100,000, or if counting takes longer than a second.',
            resolve: ({ count }) => count(),
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
  const all: BaseRecord[] = first.records.map((record) => ({ ...record, __typename: nounName('connection') }));
  for (const record of second?.records ?? []) all.push({ ...record, __typename: nounName('connector') } as BaseRecord);
  if (second?.records.length) all.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1));
  const records = backwards(request) ? all.slice(-request.limit) : all.slice(0, request.limit);
  const hasMore = all.length > request.limit || first.hasMore || second?.hasMore === true;
  return {
    page: { records: records as RecordOf['connection'][], hasMore },
    request,
    async count() {
      const counts = await Promise.all([
        loaders.connection.count.load(filters.connections),
        loaders.connector.count.load(filters.connectors),
      ]);
      const sum = counts.reduce((total: number, count) => total + (count ?? COUNT_MAX + 1), 0);
      return sum > COUNT_MAX ? null : sum;
    },
  };
}

/** Loads a page of a list. @throws ValidationError when the arguments contradict each other or a cursor does not belong to this list */
export async function loadPage<N extends Noun>(
  { loaders }: GraphQLContext,
  noun: N,
  filter: Filter<RecordOf[N]>,
  args: PageArgs,
  sort: SortArg | null | undefined = undefined,
  sortFields: SortFields = recordSortFields,
): Promise<PageSource<N>> {
  const sortField = sortFields[sort?.field ?? 'CREATED_AT']!.field;
  const request = readPageArgs(noun, args, sortField, (sort?.direction ?? 'DESC') === 'DESC');
  const { page, count } = loadersFor(loaders, noun);
  return { page: await page.load({ filter, request }), request, count: () => count.load(filter) };
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
    ...(after != null && { after: decodeCursor(after, list, ['after']) }),
    ...(before != null && { before: decodeCursor(before, list, ['before']) }),
  };
}

function backwards({ before }: PageRequest): boolean {
  return before !== undefined;
}
