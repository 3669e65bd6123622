import type { ArgBuilder, ObjectRef, OutputRef } from '@pothos/core';
import { type Noun, readScope } from '../../access/scopes.ts';
import { type Filter, type Page, type PageRequest, type RecordOf, shown } from '../../domain/reading.ts';
import { ValidationError } from '../../errors.ts';
import type { Builder, GraphQLContext, SchemaTypes } from './builder.ts';
import type { CostExtensions } from './cost.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { nounName } from './global-id.ts';
import { loadersFor } from './loaders.ts';
import { recordSortFields } from './record-fields.ts';

const FIRST_DEFAULT = 20;
const FIRST_MAX = 100;

/** Which part of which list; a cursor is good for lists of one noun in one order. */
interface ListRequest extends PageRequest {
  readonly noun: Noun;
}

/** A page on its way to the answer. It is loaded when the resolver returns, except for the count, which is only computed when asked for. */
export interface PageSource<N extends Noun> {
  readonly page: Page<RecordOf[N]>;
  readonly request: ListRequest;
  readonly count: () => Promise<number | null>;
}

/** What a caller may say of the part of a list that it wants. */
export interface PageArgs {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
}

/** The ways a list can be sorted: the GraphQL value and the record's field. */
export type SortFields = Readonly<Record<string, { readonly field: string; readonly description: string }>>;
export interface SortArg {
  readonly field?: string | null;
  readonly direction?: string | null;
}

export type Pages = ReturnType<typeof addPages>;

/** Adds what all lists share. Every list is a page, made here: Pothos would name them itself, and clash with the type `Connection`. */
export function addPages(builder: Builder) {
  const pageInfo = builder.objectRef<PageSource<Noun>>('PageInfo').implement({
    description: 'Where a page lies in its list.',
    fields: (t) => ({
      hasNextPage: t.boolean({
        description:
          'Whether there is more after `endCursor`. Exact when reading forwards; when reading backwards, whether `before` was given.',
        resolve: ({ page, request }) => (request.before ? true : backwards(request) ? false : page.hasMore),
      }),
      hasPreviousPage: t.boolean({
        description:
          'Whether there is more before `startCursor`. Exact when reading backwards; when reading forwards, whether `after` was given.',
        resolve: ({ page, request }) => (backwards(request) ? page.hasMore : request.after !== undefined),
      }),
      startCursor: t.string({
        nullable: true,
        description: 'The first record’s cursor; null on an empty page.',
        resolve: ({ page, request }) => (page.records[0] ? encodeCursor(page.records[0], request) : null),
      }),
      endCursor: t.string({
        nullable: true,
        description: 'The last record’s cursor: give it as `after` to go on. Null on an empty page.',
        resolve: ({ page, request }) => (page.records.length > 0 ? encodeCursor(page.records.at(-1)!, request) : null),
      }),
    }),
  });
  const direction = builder.enumType('SortDirection', {
    description: 'In which order a list runs.',
    values: { ASC: { description: 'Smallest, first in the alphabet or oldest first.' }, DESC: { description: 'The reverse.' } } as const,
  });

  return {
    /** The page type of a noun, such as `ConnectionPage`, and its edge. */
    pageType<N extends Noun>(noun: N, node: OutputRef<RecordOf[N]>): ObjectRef<SchemaTypes, PageSource<N>> {
      const name = `${nounName(noun)}Page`;
      const authScopes = { scope: readScope(noun) };
      const edge = builder.objectRef<{ node: RecordOf[N]; request: ListRequest }>(`${name}Edge`).implement({
        description: 'One record of a page, and its place in the list.',
        authScopes,
        fields: (t) => ({
          cursor: t.string({
            description: 'The place, valid for this sort order. Opaque; holds nothing secret.',
            resolve: ({ node, request }) => encodeCursor(node, request),
          }),
          node: t.field({ type: node as never, description: 'The record.', resolve: (source) => source.node as never }),
        }),
      });
      return builder.objectRef<PageSource<N>>(name).implement({
        description: 'One page of a list.',
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
            description: 'The records with their cursors, for clients that want one each.',
            extensions: { cost: { items: 'page' } } satisfies CostExtensions,
            resolve: ({ page, request }, _args, context) => shown(context, noun, page.records).map((record) => ({ node: record, request })),
          }),
          pageInfo: t.field({
            type: pageInfo,
            description: 'Whether there is more, and where to go on.',
            resolve: (source) => source as never,
          }),
          totalCount: t.int({
            nullable: true,
            extensions: { cost: { own: 20 } } satisfies CostExtensions,
            description:
              'How many records the whole list has, whatever part the page is. Costs a query of its own. Null when there are more than 100,000, or counting takes longer than a second.',
            resolve: ({ count }) => count(),
          }),
        }),
      });
    },

    /** The sort argument's type: `CredentialSort { field direction }`. */
    sort(name: string, fields: SortFields) {
      const field = builder.enumType(`${name}Field`, {
        description: 'What a list can be sorted by.',
        values: Object.fromEntries(Object.entries(fields).map(([value, { description }]) => [value, { description }])),
      });
      return builder.inputType(name, {
        description: 'How to sort a list. Ties are broken by id, so the order is total.',
        fields: (t) => ({
          field: t.field({ type: field, defaultValue: 'CREATED_AT', description: 'What to sort by.' }),
          direction: t.field({ type: direction, defaultValue: 'DESC', description: 'Which way.' }),
        }),
      });
    },
  };
}

/** The arguments of every page. */
export function pageArgs(t: ArgBuilder<Builder['$inferSchemaTypes']>) {
  return {
    first: t.int({ description: 'How many records from the start, or after `after`: 1 to 100, 20 unless told.' }),
    after: t.string({ description: 'Begin after this cursor.' }),
    last: t.int({ description: 'How many records before `before`: 1 to 100. Not together with `first`.' }),
    before: t.string({ description: 'End before this cursor. Not together with `after`.' }),
  };
}

/** Loads a page of a list. @throws ValidationError when the arguments contradict each other or a cursor is not one of this list */
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

function readPageArgs(noun: Noun, args: PageArgs, sortField: string, descending: boolean): ListRequest {
  const { first, last, after, before } = args;
  if (first != null && last != null) throw new ValidationError([{ path: ['last'], message: 'must not be given together with first' }]);
  if (after != null && before != null) throw new ValidationError([{ path: ['before'], message: 'must not be given together with after' }]);
  if (last != null && before == null) throw new ValidationError([{ path: ['last'], message: 'needs before' }]);
  if (before != null && last == null) throw new ValidationError([{ path: ['before'], message: 'needs last' }]);
  const limit = last ?? first ?? FIRST_DEFAULT;
  if (limit < 1 || limit > FIRST_MAX) {
    throw new ValidationError([{ path: [last == null ? 'first' : 'last'], message: `must be from 1 to ${FIRST_MAX}` }]);
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
