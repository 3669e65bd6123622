import type { InputFieldMap, InputShapeFromFields, ShapeFromTypeParam, TypeParam } from '@pothos/core';
import type { GraphQLResolveInfo } from 'graphql';
import type { Noun, Scope } from '../../access/scopes.ts';
import { may } from '../../access/viewer.ts';
import { GENERATE } from '../../credential-kinds/define.ts';
import type { MutationContext } from '../../domain/mutate.ts';
import { AlteredRecordError, type ErrorCode, ForbiddenError, GatewayError, UnavailableError } from '../../errors.ts';
import { mutationNames } from './audit-action.ts';
import type { Builder, GraphQLContext, SchemaTypes } from './builder.ts';
import type { Cost } from './cost.ts';
import { examineInput } from './input.ts';
import { forgetRead } from './loaders.ts';
import { addErrorTypes } from './mutation-errors.ts';
import type { Nodes } from './node.ts';
import type { PerRequestExtensions } from './per-request.ts';

type ErrorClass = new (...args: never[]) => GatewayError;

/** The default cost of a mutation, for a transaction with a few reads and writes. */
export const MUTATION_COST = 25;
/** The cost of each generated key pair. An RSA key pair takes a tenth of a second of processor time. */
const KEY_COST = 400;
/** The cost of reading a key or a certificate, which takes two or three milliseconds of another thread. */
const KEY_FILE_COST = 10;
/** A text that is no key can take longer, by its length: this many characters cost 1 more. */
const KEY_FILE_CHARACTERS = 100;
/** More certificates than a text can have are not read. */
const KEY_FILES_MAX = 10;

/** Returns the scopes that a mutation needs in addition to its own, depending on its arguments. Stored in the field's extensions. */
export type AlsoNeeds = (args: { readonly input: never }) => readonly Scope[];

/** The extension of a mutation that holds its name in the audit log. In the schema, it can have another one. */
export interface ActionExtensions {
  readonly action?: string;
}

/** The options of a mutation of a noun. `create`, `update` and `remove` add the options that follow from the noun. */
export interface NounMutationOptions<Members extends InputFieldMap> {
  readonly description: string;
  /** The members of the input. */
  readonly input: Members;
  /**
   * Returns the scopes that it needs in addition to its own, depending on its input. It gets the input as GraphQL has it: ids are global, and
   * secrets are not wrapped. So it must look at the form of the input only.
   */
  readonly alsoNeeds?: (input: InputShapeFromFields<Members>) => readonly Scope[];
  /**
   * Returns the scopes that it needs in addition only if what is stored requires them. The domain requires them, in the transaction, before it
   * changes anything. This is for documentation and tests.
   */
  readonly mayNeed?: (input: InputShapeFromFields<Members>) => readonly Scope[];
  /** The cost, without that of the selection. It can depend on the input, which is as `alsoNeeds` gets it. */
  readonly cost?: number | ((input: InputShapeFromFields<Members>) => number);
  /**
   * How often one request can run it. Every mutation that answers a secret declares it, and no other one, because three things follow: a request is
   * refused that contains it more often; its answer is not kept for an idempotency key; and the subgraph does not have it, or tags it `plaintext`. If
   * undefined, `MAX_ROOT_FIELDS` alone limits it.
   */
  readonly perRequest?: number;
  readonly errors: readonly ErrorClass[];
}

/** The options of every other mutation. */
interface MutationOptions<Members extends InputFieldMap> extends NounMutationOptions<Members> {
  readonly scope: Scope;
  /** The description of its input. */
  readonly inputDescription: string;
  /**
   * The noun of the record that the mutation affects. The audit log names it, in the same transaction; without this nothing compiles. Null if
   * the record has no global id.
   */
  readonly audit: Noun | null;
}

/** The name, type and description of the field of a success. */
export interface Success<Type> {
  readonly field: string;
  readonly type: Type;
  readonly description: string;
}

/** A success that also tells how something went that was done after the mutation. */
interface AnySuccess extends Success<unknown> {
  /** A second field, which can be null unless it says otherwise. With it, `run` returns an object with both. */
  readonly also?: Success<unknown> & { readonly isNullable?: false };
}

/**
 * The domain function that a mutation runs. It gets the input, with decoded global ids and wrapped secrets. The paths of its errors are
 * relative to the input.
 */
export type Run<Taken, Result> = (context: GraphQLContext & MutationContext, input: Taken) => Promise<Result>;

/**
 * Part of the type of `run`: `unknown` when whatever the input may hold fits what the domain function takes, and the domain takes all of it, at
 * any depth. Otherwise a member that no function has, whose name says what is wrong: the compiler alone would let pass members that nobody
 * reads.
 */
export type Misfit<Members extends InputFieldMap, Taken> = [InputShapeFromFields<Members>] extends [Taken]
  ? [Untaken<InputShapeFromFields<Members>, Taken>] extends [never]
    ? unknown
    : { readonly theDomainDoesNotTakeTheMember: Untaken<InputShapeFromFields<Members>, Taken> }
  : { readonly theInputDoesNotFitWhatTheDomainTakes: Taken };

/** The paths of the input members that the domain function does not read. */
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

/** The complete options of a mutation, without their specific types. */
interface AnyMutation extends Omit<MutationOptions<never>, 'input' | 'alsoNeeds' | 'mayNeed' | 'cost'> {
  readonly input: InputFieldMap;
  readonly mayNeed?: (input: never) => readonly Scope[];
  readonly alsoNeeds?: (input: never) => readonly Scope[];
  readonly cost?: number | ((input: never) => number);
  readonly success: AnySuccess;
  readonly run: Run<never, unknown>;
}

export type Mutations = ReturnType<typeof addMutations>;

/** Adds the error types that mutations return, and returns the functions that add mutations. */
export function addMutations(builder: Builder, nodes: Nodes) {
  const issue = addErrorTypes(builder, nodes);

  /** Adds the type of a success with two fields. */
  function successType(name: string, description: string, { also, ...success }: AnySuccess) {
    return builder.objectRef<Readonly<Record<string, never>>>(name).implement({
      description,
      fields: (t) =>
        Object.fromEntries(
          [success, also!].map((each) => {
            const { field, type, description } = each;
            return [
              field,
              t.field({
                type: type as 'String',
                nullable: each === also && also.isNullable !== false,
                description,
                resolve: (values) => values[field]!,
              }),
            ];
          }),
        ),
    });
  }

  /** Adds a mutation: its field, input, success type and result union. */
  function add(name: string, { alsoNeeds = () => [], mayNeed = () => [], cost, perRequest, ...options }: AnyMutation): void {
    mutationNames(builder).push(name);
    const typeName = name[0]!.toUpperCase() + name.slice(1);
    const { field, also, ...success } = options.success;
    const result = { name: `${typeName}Success`, description: `\`${name}\` succeeded.` };
    const type = also ? successType(result.name, result.description, options.success) : success.type;
    const input = builder.inputType(`${typeName}Input`, {
      description: options.inputDescription,
      fields: () => options.input,
    });
    builder.mutationField(name, (t) =>
      t.field({
        description: [options.description, oncePerRequest(perRequest), `Scope: \`${options.scope}\`.`].filter(Boolean).join(' '),
        type: type as 'String',
        nullable: false,
        authScopes: { scope: options.scope },
        extensions: {
          alsoNeeds: (({ input }) => alsoNeeds(input)) satisfies AlsoNeeds,
          mayNeed: (({ input }) => mayNeed(input)) satisfies AlsoNeeds,
          cost: { own: (given) => costOf(cost, given) + KEY_COST * keysAsked(given) + costOfKeyFiles(given) } satisfies Cost,
          ...({ perRequest } satisfies PerRequestExtensions),
          ...({ action: name } satisfies ActionExtensions),
        },
        args: { input: t.arg({ type: input, required: true, description: 'The input.' }) },
        errors: {
          // Whatever a mutation reads can be altered.
          types: [...options.errors, AlteredRecordError] as never,
          union: { name: `${typeName}Result`, description: `The result of \`${name}\`.` },
          ...(also
            ? { directResult: true, result: { name: result.name } }
            : { result, dataField: { name: field, description: success.description } }),
        },
        resolve: (async (_root: unknown, { input }: { readonly input: never }, context: GraphQLContext, info: GraphQLResolveInfo) => {
          const { viewer, address, requestId, refusals, progress } = context;
          try {
            if (progress.unavailable) throw progress.unavailable.of('NOT_EXECUTED');
            const missing = alsoNeeds(input).find((scope) => !may(viewer, scope));
            if (missing) throw new ForbiddenError(missing);
            // The response must not contain stale data that was read during an earlier mutation of the operation.
            forgetRead(context.loaders);
            const [argument] = info.parentType.getFields()[info.fieldName]!.args;
            const action = { name, noun: options.audit, address, requestId, reservation: progress.reservation };
            const { input: taken, malformed } = examineInput(argument!.type, input);
            const isOver = () => performance.now() >= progress.endsAt;
            const refused = (code: ErrorCode) => refusals.add(viewer, name, code, { requestId, address });
            const result = await options.run({ ...context, action, malformed, isOver, refused }, taken as never);
            progress.hasSucceeded = true;
            return result;
          } catch (error) {
            if (!(error instanceof GatewayError)) throw error;
            refusals.add(viewer, name, error.code, { requestId, address });
            if (error instanceof UnavailableError) {
              // Without an outcome, the error did not come from the transaction, which may have been committed before.
              progress.unavailable = error.outcome ? error : error.of('UNKNOWN');
              throw progress.unavailable;
            }
            // The paths of errors are relative to the input; callers expect them relative to the arguments.
            throw error.within(['input']);
          }
        }) as never,
      }),
    );
  }

  return {
    /** Adds a mutation that is not one of the standard mutations of a noun. */
    mutation<const Members extends InputFieldMap, Taken, const Type extends TypeParam<SchemaTypes>>(
      name: string,
      options: MutationOptions<Members> & {
        readonly success: Success<Type>;
        readonly run: Run<Taken, ShapeFromTypeParam<SchemaTypes, Type, false>> & Misfit<Members, Taken>;
      },
    ): void {
      add(name, options);
    },
    addMutation: add,
    /** The type of a broken rule. */
    issue,
  };
}

function oncePerRequest(perRequest: number | undefined): string {
  if (perRequest === undefined) return '';
  return perRequest === 1 ? 'A request can contain it once.' : `A request can contain it ${perRequest} times.`;
}

/** Returns the cost that a mutation declares. Without an input, which the field itself will refuse, it is that of any mutation. */
function costOf(cost: AnyMutation['cost'], { input }: Readonly<Record<string, unknown>>): number {
  if (typeof cost !== 'function') return cost ?? MUTATION_COST;
  return input === undefined ? MUTATION_COST : cost(input as never);
}

/** Counts the requests to generate a key pair in the arguments, at any depth. */
function keysAsked(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, inner]) => sum + (name === GENERATE && inner === true ? 1 : keysAsked(inner)), 0);
}

/** Returns the cost of the keys and certificates in the arguments, at any depth: texts with blocks of PEM, and files of keys in base64. */
function costOfKeyFiles(value: unknown): number {
  if (typeof value === 'string') {
    // Base64 of PEM, and of DER with more than 255 bytes.
    const blocks = /^(?:LS0tLS1CRUdJTi|MII)/.test(value) ? 1 : value.split('-----BEGIN ').length - 1;
    if (blocks === 0) return 0;
    return KEY_FILE_COST * Math.min(KEY_FILES_MAX, blocks) + Math.ceil(value.length / KEY_FILE_CHARACTERS);
  }
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, inner) => sum + costOfKeyFiles(inner), 0);
}
