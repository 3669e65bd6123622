import type { InputFieldMap, InputFieldRef, OutputRef } from '@pothos/core';
import { nounTable } from '../../access/nouns.ts';
import { type Noun, readScope, type Scope } from '../../access/scopes.ts';
import type { MutationContext } from '../../domain/mutate.ts';
import type { RecordOf } from '../../domain/reading.ts';
import { type Builder, createInputBuilder, type GraphQLContext, type OutputBuilder, type SchemaTypes } from './builder.ts';
import { conditionsOf, type ListFilter } from './filter.ts';
import { encodeId } from './global-id.ts';
import { readArguments } from './input.ts';
import type { Misfit, Mutations, NounMutationOptions, Run } from './mutation.ts';
import { loadPage, type PageArgs, type Pages, pageArgs, type SortArg, type SortFields } from './page.ts';
import { recordSortFields } from './record-fields.ts';
import type { Reference } from './references.ts';

/** The members that every input has that changes or deletes a record of a noun. */
type Which<N extends Noun, Ref> = { readonly [K in N]: InputFieldRef<SchemaTypes, Ref> } & {
  readonly expectedVersion: InputFieldRef<SchemaTypes, number | null | undefined>;
};
/** What a domain function is given that deletes a record of a noun. */
type Deletion<N extends Noun, Ref> = { readonly [K in N]: Ref } & {
  readonly expectedVersion?: number | null;
  readonly force?: boolean | null;
};

/** The lists and edges of a noun, in the form that all nouns share. */
export function listKit<N extends Noun>(builder: Builder, noun: N, type: OutputRef<RecordOf[N]>, { pageType, sort }: Pages) {
  const { plural, typeName } = nounTable[noun];
  const scope = readScope(noun);
  const page = pageType(noun, type);
  const withScope = (description: string) => `${description} Scope: \`${scope}\`.`;

  return {
    /** The GraphQL type of its records, and that of their pages. */
    type,
    page,

    /** Adds the query for a page of all records. The description says which filters and sorts an index serves. */
    list(options: {
      readonly description: string;
      readonly filters: Readonly<Record<string, ListFilter>>;
      /** The name of the query; the noun's plural by default. */
      readonly name?: string;
      /** The name of the sort argument's type, and what it offers; the fields that all records have by default. */
      readonly sort?: { readonly name?: string; readonly fields: SortFields };
    }): void {
      const { filters, name = plural } = options;
      const { name: sortName = `${typeName}Sort`, fields: sortFields = recordSortFields } = options.sort ?? {};
      const sortType = sort(sortName, sortFields);
      builder.queryField(name, (t) =>
        t.field({
          type: page as never,
          description: withScope(options.description),
          authScopes: { scope },
          args: {
            ...pageArgs(t.arg),
            sort: t.arg({ type: sortType as never, description: 'Newest first by default.' }),
            ...(Object.fromEntries(Object.entries(filters).map(([filter, { argument }]) => [filter, argument(t.arg)])) as object),
          },
          resolve: (async (_root: unknown, args: PageArgs & { sort?: SortArg | null }, context: GraphQLContext, info: never) => {
            const filter = await conditionsOf(filters, readArguments(info, args) as never, context);
            return loadPage(context, noun, filter, args, args.sort, sortFields);
          }) as never,
        }),
      );
    },

    /** A field of another type: the one record that it names, if any. */
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

    /** A field of another type: a page of the records that belong to it, newest first. */
    relatedPage<Source>(t: OutputBuilder<Source>, options: { readonly description: string; readonly filter: (source: Source) => object }) {
      return t.field({
        type: page as never,
        description: withScope(options.description),
        authScopes: { scope },
        args: pageArgs(t.arg),
        resolve: ((source: Source, args: PageArgs, context: GraphQLContext) =>
          loadPage(context, noun, options.filter(source) as never, args)) as never,
      });
    },
  };
}

/**
 * The root fields, edges and mutations that most nouns have, in the form that all of them share. What a noun has beyond that, its file adds
 * with the builder and with `mutation`.
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
  const success = { field: noun, type, description: `The ${label} as it is now.` };

  /** The members of an input that say which record is meant, and at which version. */
  function which() {
    return {
      [noun]: t.field(reference.options({ required: true, description: 'Which one.' }) as never),
      expectedVersion: t.int({
        description: 'Refuse with a `ConflictError` unless the object is at this version. Absent: whatever its version.',
      }),
    };
  }

  return {
    ...listKit(builder, noun, type, pages),
    reference,

    /** The member of an input, or argument, that names a record. */
    member<const Required extends boolean = false>(options: {
      readonly description: string;
      readonly required?: Required;
    }): InputFieldRef<SchemaTypes, Required extends true ? Ref : Ref | null | undefined> {
      return t.field(reference.options({ required: false, ...options }) as never) as never;
    },

    /** The members of an input that say which record is meant, and at which version. */
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
          args: { [queryArgument]: t.arg(options({ required: true, description: 'Which one.' }) as never) },
          resolve: (async (_root: unknown, args: Record<string, unknown>, context: GraphQLContext, info: never) =>
            find(context, readArguments(info, args)[queryArgument] as Ref)) as never,
        }),
      );
    },

    /** Adds the mutation that creates a record. */
    create<const Members extends InputFieldMap, Taken>(
      options: NounMutationOptions<Members> & { readonly run: Run<Taken, RecordOf[N]> },
      ..._misfit: Misfit<Members, Taken>
    ): void {
      addMutation(`create${typeName}`, {
        inputDescription: `A new ${label}.`,
        ...options,
        scope: `${plural}.post` as Scope,
        success,
        audit: noun,
      });
    },

    /** Adds the mutation that changes a record. Its input also says which one, and which version is expected. */
    update<const Members extends InputFieldMap, Taken>(
      options: NounMutationOptions<Members> & { readonly run: Run<Taken, RecordOf[N]> },
      ..._misfit: Misfit<Members & Which<N, Ref>, Taken>
    ): void {
      addMutation(`update${typeName}`, {
        inputDescription: 'What to change: absent is kept, null is cleared, `[]` is emptied.',
        ...options,
        input: { ...which(), ...options.input },
        scope: `${plural}.patch` as Scope,
        success,
        audit: noun,
      });
    },

    /** Adds the mutation that deletes a record. Its domain function returns the id of the record that is gone. */
    remove(options: {
      readonly name?: string;
      readonly description: string;
      readonly errors: NounMutationOptions<never>['errors'];
      /** What `force` deletes or changes beside the record, and the scopes that it needs. Without this there is no `force`. */
      readonly force?: { readonly description: string; readonly needs: readonly Scope[] };
      readonly run: Run<Deletion<N, Ref>, string>;
    }): void {
      const { name = `delete${typeName}`, force, run, ...rest } = options;
      addMutation(name, {
        ...rest,
        inputDescription: `Which ${label} to delete.`,
        input: { ...which(), ...(force && { force: t.boolean({ defaultValue: false, description: force.description }) }) },
        alsoNeeds: (input: { readonly force?: boolean | null }) => (force && input.force ? force.needs : []),
        scope: `${plural}.delete` as Scope,
        success: { field: 'deletedId', type: 'ID', description: 'The global id of what is gone.' },
        audit: noun,
        run: async (context: GraphQLContext & MutationContext, input: Deletion<N, Ref>) => encodeId(noun, await run(context, input)),
      });
    },
  };
}
