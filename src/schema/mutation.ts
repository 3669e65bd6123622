import type { InputRef, ShapeFromTypeParam, TypeParam } from '@pothos/core';
import type { Noun, Scope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { GENERATE } from '../credential-kinds/define.ts';
import type { MutationContext } from '../domain/mutate.ts';
import { ForbiddenError, GatewayError } from '../errors.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import type { Cost } from './cost.ts';
import { forgetRead } from './loaders.ts';
import { addErrorTypes } from './mutation-errors.ts';

type SchemaTypes = Builder['$inferSchemaTypes'];
/** What the members of an input are made with. */
export type InputBuilder = PothosSchemaTypes.InputFieldBuilder<SchemaTypes, 'InputObject'>;
type ErrorClass = new (...args: never[]) => GatewayError;

/** What a mutation costs unless told, in objects: a transaction of a few reads and writes. */
const MUTATION_COST = 25;
/** Each key pair that the server is asked to make: of RSA ones, a tenth of a second of a processor. */
const KEY_COST = 400;

/** The scopes that a mutation needs beyond its own, depending on its input. The field's extensions carry it as `alsoNeeds`. */
export type AlsoNeeds = (args: Record<string, unknown>) => readonly Scope[];

interface MutationOptions<Input, Type extends TypeParam<SchemaTypes>> {
  readonly description: string;
  readonly scope: Scope;
  readonly alsoNeeds?: (input: Input) => readonly Scope[];
  /** The type of its one argument, named after the mutation: `CreateConnectionInput`. */
  readonly input: InputRef<Input>;
  /** What it costs, in objects, beside what is selected of its answer. */
  readonly cost?: number;
  /** The success's one field: its name, type and description. */
  readonly success: { readonly field: string; readonly type: Type; readonly description: string };
  readonly errors: readonly ErrorClass[];
  /** What the mutation does something to. The audit log is told, in the same transaction; without this nothing compiles. */
  readonly audit: Noun;
  /** The paths of its errors are relative to the input. */
  readonly resolve: (context: GraphQLContext & MutationContext, input: Input) => Promise<ShapeFromTypeParam<SchemaTypes, Type, false>>;
}

export type MutationKit = ReturnType<typeof addMutations>;

/** Adds the error types that mutations answer with, and gives the helper that every mutation is made with. */
export function addMutations(builder: Builder) {
  addErrorTypes(builder);

  /** Adds a mutation: its field, its success type and its result union. */
  function mutation<Input, Type extends TypeParam<SchemaTypes>>(name: string, options: MutationOptions<Input, Type>) {
    const typeName = name[0]!.toUpperCase() + name.slice(1);
    const { alsoNeeds = () => [], cost = MUTATION_COST, success } = options;
    builder.mutationField(name, (t) =>
      t.field({
        description: `${options.description} Scope: \`${options.scope}\`.`,
        type: success.type as 'String',
        nullable: false,
        authScopes: { scope: options.scope },
        extensions: {
          alsoNeeds: ((args) => alsoNeeds(args.input as Input)) satisfies AlsoNeeds,
          cost: { own: (given) => cost + KEY_COST * keysAsked(given) } satisfies Cost,
        },
        args: { input: t.arg({ type: options.input, required: true, description: 'All that the mutation needs to know.' }) },
        errors: {
          types: options.errors as never,
          union: { name: `${typeName}Result`, description: `What became of \`${name}\`.` },
          result: { name: `${typeName}Success`, description: `\`${name}\` did what was asked.` },
          dataField: { name: success.field, description: success.description },
        },
        resolve: (async (_root: unknown, { input }: { readonly input: Input }, context: GraphQLContext) => {
          const { viewer, address, requestId, refusals } = context;
          try {
            const missing = alsoNeeds(input).find((scope) => !may(viewer, scope));
            if (missing) throw new ForbiddenError(missing);
            // An answer must not show what an earlier mutation of the operation has read.
            forgetRead(context.loaders);
            return await options.resolve({ ...context, action: { name, noun: options.audit, address, requestId } }, input);
          } catch (error) {
            if (!(error instanceof GatewayError)) throw error;
            refusals.add(viewer, name, error.code);
            throw error.within(['input']);
          }
        }) as never,
      }),
    );
  }

  return {
    mutation,
    /** The success of a deletion. */
    deleted: { field: 'deletedId', type: 'ID', description: 'The global id of what is gone.' } as const,
    expectedVersion: (t: InputBuilder) =>
      t.int({ description: 'Refuse with a `ConflictError` unless the object is at this version. Absent: whatever its version.' }),
    force: (t: InputBuilder, description: string) => t.boolean({ defaultValue: false, description }),
  };
}

/** How many keys the server is asked to make, wherever in the arguments. */
function keysAsked(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, inner]) => sum + (name === GENERATE && inner === true ? 1 : keysAsked(inner)), 0);
}
