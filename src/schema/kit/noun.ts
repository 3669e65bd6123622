import type { InputFieldMap, InputFieldRef, OutputRef } from '@pothos/core';
import { nounTable } from '../../access/nouns.ts';
import { type Noun, readScope, type Scope } from '../../access/scopes.ts';
import type { Forceable } from '../../domain/deletion.ts';
import type { MutationContext } from '../../domain/mutate.ts';
import type { RecordOf } from '../../domain/reading.ts';
import type { Target, Upserted } from '../../domain/records.ts';
import { type Builder, createInputBuilder, type GraphQLContext, type OutputBuilder, type SchemaTypes } from './builder.ts';
import type { CostExtensions } from './cost.ts';
import { conditionsOf, costOfList, type ListFilter } from './filter.ts';
import { encodeId } from './global-id.ts';
import { readArguments } from './input.ts';
import type { Misfit, Mutations, NounMutationOptions, Run, Success } from './mutation.ts';
import { loadPage, type PageArgs, type Pages, pageArgs, type SortArg, type SortFields } from './page.ts';
import { recordSortFields } from './record-fields.ts';
import type { Reference } from './references.ts';

/** The members of every input that changes or deletes a record of a noun. */
type Which<N extends Noun, Ref> = { readonly [K in N]: InputFieldRef<SchemaTypes, Ref> } & {
  readonly expectedVersion: InputFieldRef<SchemaTypes, number | null | undefined>;
};

/** What an upsert adds to its input. */
interface ExpectedVersion {
  readonly expectedVersion: InputFieldRef<SchemaTypes, number | null | undefined>;
}

/** Returns the functions that add the lists and the edges of a noun, in the same form for all nouns. */
export function listKit<N extends Noun>(builder: Builder, noun: N, type: OutputRef<RecordOf[N]>, { pageType, sort }: Pages) {
  const { plural, typeName } = nounTable[noun];
  const scope = readScope(noun);
  const page = pageType(noun, type);
  const withScope = (description: string) => `${description} Scope: \`${scope}\`.`;

  return {
    /** The GraphQL types of its records and of their pages. */
    type,
    page,

    /** Adds the query for a page of all records. The description states which filters and sorts are indexed. */
    list(options: {
      readonly description: string;
      readonly filters: Readonly<Record<string, ListFilter>>;
      /** The name of the query; the noun's plural by default. */
      readonly name?: string;
      /** The name of the sort argument's type, and the sort fields. By default, the fields that all records have. */
      readonly sort?: { readonly name?: string; readonly fields: SortFields };
    }): void {
      const { filters, name = plural } = options;
      const { name: sortName = `${typeName}Sort`, fields: sortFields = recordSortFields } = options.sort ?? {};
      const sortType = sort(sortName, sortFields);
      builder.queryField(name, (t) =>
        t.field({
          type: page as never,
          // A filter can name a record that does not exist. Then this list has no answer, but the rest of the operation has.
          nullable: Object.values(filters).some(({ namesRecord }) => namesRecord),
          description: withScope(options.description),
          authScopes: { scope },
          extensions: { cost: costOfList(filters) } satisfies CostExtensions,
          args: {
            ...pageArgs(t.arg),
            sort: t.arg({ type: sortType, description: 'The order. Newest first by default.' }),
            ...(Object.fromEntries(Object.entries(filters).map(([filter, { argument }]) => [filter, argument(t.arg)])) as object),
          },
          resolve: (async (_root: unknown, args: PageArgs & { sort?: SortArg | null }, context: GraphQLContext, info: never) => {
            const filter = await conditionsOf(filters, readArguments(info, args) as never, context);
            return loadPage(context, noun, filter, args, args.sort, sortFields);
          }) as never,
        }),
      );
    },

    /** Returns a field of another type for the record that it refers to, if any. */
    related<Source>(
      t: OutputBuilder<Source>,
      options: { readonly description: string; readonly id: (source: Source) => string | null | undefined },
    ) {
      return t.field({
        type: type as never,
        nullable: true,
        description: withScope(options.description),
        authScopes: { scope },
        resolve: ((source: Source, _args: unknown, { loaders }: GraphQLContext) => {
          const id = options.id(source);
          return id ? loaders[noun].byId.load(id) : null;
        }) as never,
      });
    },

    /** Returns a field of another type for a page of the records that belong to it, newest first, with filters of the list of all. */
    relatedPage<Source>(
      t: OutputBuilder<Source>,
      options: {
        readonly description: string;
        readonly filter: (source: Source) => object;
        readonly filters?: Readonly<Record<string, ListFilter>>;
      },
    ) {
      const { filters = {} } = options;
      return t.field({
        type: page as never,
        // Without the scope, this page is null, and not the whole record.
        nullable: true,
        description: withScope(options.description),
        authScopes: { scope },
        extensions: { cost: costOfList(filters) } satisfies CostExtensions,
        args: {
          ...pageArgs(t.arg),
          ...(Object.fromEntries(Object.entries(filters).map(([filter, { argument }]) => [filter, argument(t.arg)])) as object),
        },
        resolve: (async (source: Source, args: PageArgs, context: GraphQLContext, info: never) => {
          const filter = await conditionsOf(filters, readArguments(info, args) as never, context);
          return loadPage(context, noun, { ...filter, ...options.filter(source) } as never, args);
        }) as never,
      });
    },
  };
}

/**
 * Returns the functions that add the root fields, edges and mutations that most nouns have, in the same form for all nouns. The file of a
 * noun adds everything else with the builder and with `mutation`.
 */
export function nounKit<N extends Noun, Ref>(
  builder: Builder,
  noun: N,
  type: OutputRef<RecordOf[N]>,
  reference: Reference<Ref, RecordOf[N]>,
  pages: Pages,
  { addMutation }: Mutations,
) {
  const t = createInputBuilder(builder);
  const { label, plural, typeName } = nounTable[noun];
  const scope = readScope(noun);
  const success = { field: noun, type, description: `The new or changed ${label}.` };

  /** Returns the members of an input that identify a record and its expected version. */
  function which() {
    return {
      [noun]: t.field(reference.options({ required: true, description: `The ${label}.` }) as never),
      expectedVersion: t.int({
        description: 'The `version` that you have read. If it is not the current one, the result is a `ConflictError`.',
      }),
    };
  }

  return {
    ...listKit(builder, noun, type, pages),
    reference,

    /** Returns a member of an input, or an argument, that identifies a record. */
    member<const Required extends boolean = false>(options: {
      readonly description: string;
      readonly required?: Required;
    }): InputFieldRef<SchemaTypes, Required extends true ? Ref : Ref | null | undefined> {
      return t.field(reference.options({ required: false, ...options }) as never) as never;
    },

    /** Returns the members of an input that identify a record and its expected version. */
    which: which as () => Which<N, Ref>,

    /** Adds the query for one record. */
    one(description: string): void {
      const { queryArgument, options, find } = reference;
      builder.queryField(noun, (t) =>
        t.field({
          type: type as never,
          nullable: true,
          description: `${description} Scope: \`${scope}\`.`,
          authScopes: { scope },
          args: { [queryArgument]: t.arg(options({ required: true, description: `Identifies the ${label}.` }) as never) },
          resolve: (async (_root: unknown, args: Record<string, unknown>, context: GraphQLContext, info: never) =>
            find(context, readArguments(info, args)[queryArgument] as Ref)) as never,
        }),
      );
    },

    /** Adds the mutation that creates a record. */
    create<const Members extends InputFieldMap, Taken>(
      options: NounMutationOptions<Members> & { readonly run: Run<Taken, RecordOf[N]> & Misfit<Members, Taken> },
    ): void {
      addMutation(`create${typeName}`, {
        inputDescription: `A new ${label}.`,
        ...options,
        scope: `${plural}.post` as Scope,
        success,
        audit: noun,
      });
    },

    /** Adds the mutation that changes a record. Members for the record and the expected version are added to its input. */
    update<const Members extends InputFieldMap, Taken>(
      options: NounMutationOptions<Members> & { readonly run: Run<Taken, RecordOf[N]> & Misfit<Members & Which<N, Ref>, Taken> },
    ): void {
      addMutation(`update${typeName}`, {
        inputDescription: 'The changes. Absent fields are kept; null clears a field; `[]` empties a list.',
        ...options,
        input: { ...which(), ...options.input },
        scope: `${plural}.patch` as Scope,
        success,
        audit: noun,
      });
    },

    /**
     * Adds the mutation that creates a record or changes the one with the same natural key. The expected version is added to its input. It needs the scopes of
     * both.
     */
    upsert<const Members extends InputFieldMap, Taken>(
      options: NounMutationOptions<Members> & {
        readonly run: Run<Taken, Upserted<RecordOf[N]>> & Misfit<Members & ExpectedVersion, Taken>;
      },
    ): void {
      const { input, run, alsoNeeds, ...rest } = options;
      addMutation(`upsert${typeName}`, {
        inputDescription: `The ${label}. If it exists, absent fields are kept; null clears a field; \`[]\` empties a list.`,
        ...rest,
        description: `${options.description} Always also requires \`${plural}.patch\`.`,
        input: {
          ...input,
          expectedVersion: t.int({
            description:
              'The `version` that you have read; 0 if it must not exist. If it is not the current one, the result is a `ConflictError`.',
          }),
        },
        alsoNeeds: (given: never) => [`${plural}.patch` as Scope, ...(alsoNeeds?.(given) ?? [])],
        scope: `${plural}.post` as Scope,
        success: {
          ...success,
          also: {
            field: 'created',
            type: 'Boolean',
            isNullable: false,
            description: `Whether the ${label} was created. Otherwise it existed.`,
          },
        },
        audit: noun,
        run: async (context: GraphQLContext & MutationContext, taken: Taken) => {
          const { record, created } = await (run as Run<Taken, Upserted<RecordOf[N]>>)(context, taken);
          return { [noun]: record, created };
        },
      });
    },

    /**
     * Adds the mutation that deletes a record. Its domain function returns the id of the deleted record; with `also`, an object with the id and the second
     * field of the success.
     */
    remove<const Members extends InputFieldMap = Record<never, never>, Taken = Target<N, Ref> & Forceable>(options: {
      readonly name?: string;
      readonly description: string;
      readonly errors: NounMutationOptions<never>['errors'];
      /**
       * A description of what `force` also deletes or changes, and the scopes that it needs if there is something of that. Without this, the
       * input has no `force`.
       */
      readonly force?: { readonly description: string; readonly needs: readonly Scope[] };
      /** Further members of the input. */
      readonly input?: Members;
      readonly cost?: NounMutationOptions<Members>['cost'];
      /** The scopes that it needs if there is something that the input says to delete, too. */
      readonly mayNeed?: NounMutationOptions<Members>['mayNeed'];
      readonly also?: Success<unknown>;
      readonly run: Run<Taken, string | { readonly id: string }> & Misfit<Members & Which<N, Ref>, Taken>;
    }): void {
      const { name = `delete${typeName}`, force, input, also, run, mayNeed, ...rest } = options;
      addMutation(name, {
        ...rest,
        inputDescription: `The ${label} to delete.`,
        input: { ...which(), ...input, ...(force && { force: t.boolean({ defaultValue: false, description: force.description }) }) },
        mayNeed: (input: Forceable) => [...(force && input.force ? force.needs : []), ...(mayNeed?.(input as never) ?? [])],
        scope: `${plural}.delete` as Scope,
        success: { field: 'deletedId', type: 'ID', description: `The global id of the deleted ${label}.`, ...(also && { also }) },
        audit: noun,
        run: async (context: GraphQLContext & MutationContext, input: Taken) => {
          const done = await (run as Run<Taken, string | { readonly id: string }>)(context, input);
          return typeof done === 'string' ? encodeId(noun, done) : { ...done, deletedId: encodeId(noun, done.id) };
        },
      });
    },
  };
}
