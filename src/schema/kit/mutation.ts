import type { InputFieldMap, InputShapeFromFields, ShapeFromTypeParam, TypeParam } from '@pothos/core';
import type { GraphQLResolveInfo } from 'graphql';
import type { Noun, Scope } from '../../access/scopes.ts';
import { may } from '../../access/viewer.ts';
import { GENERATE } from '../../credential-kinds/define.ts';
import type { MutationContext } from '../../domain/mutate.ts';
import { ForbiddenError, GatewayError } from '../../errors.ts';
import type { Builder, GraphQLContext, SchemaTypes } from './builder.ts';
import type { Cost } from './cost.ts';
import { readInput } from './input.ts';
import { forgetRead } from './loaders.ts';
import { addErrorTypes } from './mutation-errors.ts';

type ErrorClass = new (...args: never[]) => GatewayError;

/** What a mutation costs by default, in objects: a transaction of a few reads and writes. */
const MUTATION_COST = 25;
/** Each key pair that the server is asked to make: of RSA ones, a tenth of a second of a processor. */
const KEY_COST = 400;

/** The scopes that a mutation needs beyond its own, depending on its arguments. The field's extensions carry it as `alsoNeeds`. */
export type AlsoNeeds = (args: { readonly input: never }) => readonly Scope[];

/** What a mutation of a noun says of itself: `create`, `update` and `remove` fill in what follows from the noun. */
export interface NounMutationOptions<Members extends InputFieldMap> {
  readonly description: string;
  /** The members of its input. */
  readonly input: Members;
  /** The scopes that it needs beyond its own, given its input. */
  readonly alsoNeeds?: (input: InputShapeFromFields<Members>) => readonly Scope[];
  /** What it costs, in objects, beside what is selected of its answer. */
  readonly cost?: number;
  readonly errors: readonly ErrorClass[];
}

/** What every other mutation says of itself. */
interface MutationOptions<Members extends InputFieldMap> extends NounMutationOptions<Members> {
  readonly scope: Scope;
  /** The description of its input. */
  readonly inputDescription: string;
  /** The noun of the record that the mutation affects. The audit log names it, in the same transaction; without this nothing compiles. */
  readonly audit: Noun;
}

/** What a success holds: its one field's name, type and description. */
export interface Success<Type> {
  readonly field: string;
  readonly type: Type;
  readonly description: string;
}

/**
 * The domain function that a mutation runs. It gets the input, with global ids decoded and secrets wrapped, and the paths of its errors are
 * relative to the input.
 */
export type Run<Taken, Result> = (context: GraphQLContext & MutationContext, input: Taken) => Promise<Result>;

/**
 * The rest parameter of what adds a mutation: empty when whatever the input may hold fits what the domain function takes, and the domain
 * takes all of it, at any depth. Otherwise an argument is missing, whose name says what is wrong: the compiler alone would let pass members
 * that nobody reads.
 */
export type Misfit<Members extends InputFieldMap, Taken> = [InputShapeFromFields<Members>] extends [Taken]
  ? [Untaken<InputShapeFromFields<Members>, Taken>] extends [never]
    ? []
    : [theDomainDoesNotTakeTheMember: Untaken<InputShapeFromFields<Members>, Taken>]
  : [theInputDoesNotFitWhatTheDomainTakes: Taken];

/** The paths of the members that are given and not taken. */
type Untaken<Given, Taken> = Given extends readonly (infer G)[]
  ? Taken extends readonly (infer T)[]
    ? Untaken<NonNullable<G>, NonNullable<T>>
    : never
  : Given extends Date | string | number | boolean
    ? never
    : {
        [K in keyof Given & string]: K extends keyof Taken ? UntakenWithin<K, Untaken<NonNullable<Given[K]>, NonNullable<Taken[K]>>> : K;
      }[keyof Given & string];
type UntakenWithin<K extends string, Inner> = [Inner] extends [never] ? never : `${K}.${Inner & string}`;

/** A mutation with all that makes it one, whatever its types. */
interface AnyMutation extends Omit<MutationOptions<never>, 'input' | 'alsoNeeds'> {
  readonly input: InputFieldMap;
  readonly alsoNeeds?: (input: never) => readonly Scope[];
  readonly success: Success<unknown>;
  readonly run: Run<never, unknown>;
}

export type Mutations = ReturnType<typeof addMutations>;

/** Adds the error types that mutations answer with, and gives the helper that every mutation is made with. */
export function addMutations(builder: Builder) {
  addErrorTypes(builder);

  /** Adds a mutation: its field, its input, its success and its result union. */
  function add(name: string, { alsoNeeds = () => [], cost = MUTATION_COST, ...options }: AnyMutation): void {
    const typeName = name[0]!.toUpperCase() + name.slice(1);
    const input = builder.inputType(`${typeName}Input`, {
      description: options.inputDescription,
      fields: () => options.input as never,
    });
    builder.mutationField(name, (t) =>
      t.field({
        description: `${options.description} Scope: \`${options.scope}\`.`,
        type: options.success.type as 'String',
        nullable: false,
        authScopes: { scope: options.scope },
        extensions: {
          alsoNeeds: (({ input }) => alsoNeeds(input)) satisfies AlsoNeeds,
          cost: { own: (given) => cost + KEY_COST * keysAsked(given) } satisfies Cost,
        },
        args: { input: t.arg({ type: input, required: true, description: 'All that the mutation needs to know.' }) },
        errors: {
          types: options.errors as never,
          union: { name: `${typeName}Result`, description: `What became of \`${name}\`.` },
          result: { name: `${typeName}Success`, description: `\`${name}\` did what was asked.` },
          dataField: { name: options.success.field, description: options.success.description },
        },
        resolve: (async (_root: unknown, { input }: { readonly input: never }, context: GraphQLContext, info: GraphQLResolveInfo) => {
          const { viewer, address, requestId, refusals } = context;
          try {
            const missing = alsoNeeds(input).find((scope) => !may(viewer, scope));
            if (missing) throw new ForbiddenError(missing);
            // An answer must not show what an earlier mutation of the operation has read.
            forgetRead(context.loaders);
            const [argument] = info.parentType.getFields()[info.fieldName]!.args;
            const action = { name, noun: options.audit, address, requestId };
            return await options.run({ ...context, action }, readInput(argument!.type, input, []) as never);
          } catch (error) {
            if (!(error instanceof GatewayError)) throw error;
            refusals.add(viewer, name, error.code);
            // Neither the domain nor what reads the input knows that it is an argument.
            throw error.within(['input']);
          }
        }) as never,
      }),
    );
  }

  return {
    /** Adds a mutation that is not one of a noun's usual ones. */
    mutation<const Members extends InputFieldMap, Taken, const Type extends TypeParam<SchemaTypes>>(
      name: string,
      options: MutationOptions<Members> & {
        readonly success: Success<Type>;
        readonly run: Run<Taken, ShapeFromTypeParam<SchemaTypes, Type, false>>;
      },
      ..._misfit: Misfit<Members, Taken>
    ): void {
      add(name, options);
    },
    addMutation: add,
  };
}

/** How many keys the server is asked to make, wherever in the arguments. */
function keysAsked(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, inner]) => sum + (name === GENERATE && inner === true ? 1 : keysAsked(inner)), 0);
}
