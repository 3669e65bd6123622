import type { ArgBuilder, InputFieldMap, InputShapeFromFields, ShapeFromTypeParam, TypeParam } from '@pothos/core';
import type { Noun, Scope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { GENERATE } from '../credential-types/define.ts';
import type { MutationContext } from '../domain/context.ts';
import {
  ConflictError,
  EmailNotVerifiedError,
  ForbiddenError,
  GatewayError,
  InUseError,
  InvalidIntegrationError,
  type Issue,
  NotFoundError,
  type Path,
  SSONotConfiguredError,
  ssoRequirements,
  UnreadableSecretError,
  type Usage,
  ValidationError,
} from '../errors.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import type { Cost } from './cost.ts';
import { encodeId } from './global-id.ts';
import { forgetRead } from './loaders.ts';

type SchemaTypes = Builder['$inferSchemaTypes'];
type ErrorClass = new (...args: never[]) => GatewayError;

/** What a mutation costs unless told, in objects: a transaction of a few reads and writes. */
const MUTATION_COST = 25;
/** Each key pair that the server is asked to make: of RSA ones, a tenth of a second of a processor. */
const KEY_COST = 400;

/** The scopes that a mutation needs beyond its own, depending on its arguments. The field's extensions carry it as `alsoNeeds`. */
export type AlsoNeeds = (args: Record<string, unknown>) => readonly Scope[];

interface MutationOptions<Args extends InputFieldMap, Type extends TypeParam<SchemaTypes>> {
  readonly description: string;
  readonly scope: Scope;
  readonly alsoNeeds?: (args: InputShapeFromFields<Args>) => readonly Scope[];
  readonly args: (t: ArgBuilder<SchemaTypes>) => Args;
  /** What it costs, in objects, beside what is selected of its answer. */
  readonly cost?: number;
  /** The success's one field: its name, type and description. */
  readonly success: { readonly field: string; readonly type: Type; readonly description: string };
  readonly errors: readonly ErrorClass[];
  /** What the mutation does something to. The audit log is told, in the same transaction; without this nothing compiles. */
  readonly audit: Noun;
  readonly resolve: (
    context: GraphQLContext & MutationContext,
    args: InputShapeFromFields<Args>,
  ) => Promise<ShapeFromTypeParam<SchemaTypes, Type, false>>;
}

export type MutationKit = ReturnType<typeof addMutations>;

/** Adds the error types that mutations answer with, and gives the helper that every mutation is made with. */
export function addMutations(builder: Builder) {
  addErrorTypes(builder);

  /** Adds a mutation: its field, its success type and its result union. */
  function mutation<const Args extends InputFieldMap, Type extends TypeParam<SchemaTypes>>(
    name: string,
    options: MutationOptions<Args, Type>,
  ) {
    const typeName = name[0]!.toUpperCase() + name.slice(1);
    const { alsoNeeds = () => [], cost = MUTATION_COST, success } = options;
    builder.mutationField(name, (t) =>
      t.field({
        description: `${options.description} Scope: \`${options.scope}\`.`,
        type: success.type as 'String',
        nullable: false,
        authScopes: { scope: options.scope },
        extensions: { alsoNeeds, cost: { own: (given) => cost + KEY_COST * keysAsked(given) } satisfies Cost },
        args: options.args(t.arg),
        errors: {
          types: options.errors as never,
          union: { name: `${typeName}Result`, description: `What became of \`${name}\`.` },
          result: { name: `${typeName}Success`, description: `\`${name}\` did what was asked.` },
          dataField: { name: success.field, description: success.description },
        },
        resolve: (async (_root: unknown, args: InputShapeFromFields<Args>, context: GraphQLContext) => {
          const { viewer, address, requestId, refusals } = context;
          try {
            const missing = alsoNeeds(args).find((scope) => !may(viewer, scope));
            if (missing) throw new ForbiddenError(missing);
            // An answer must not show what an earlier mutation of the operation has read.
            forgetRead(context.loaders);
            return await options.resolve({ ...context, action: { name, noun: options.audit, address, requestId } }, args);
          } catch (error) {
            if (error instanceof GatewayError) refusals.add(viewer, name, error.code);
            throw error;
          }
        }) as never,
      }),
    );
  }

  return {
    mutation,
    /** The success of a deletion. */
    deleted: { field: 'deletedId', type: 'ID', description: 'The global id of what is gone.' } as const,
    expectedVersion: (t: ArgBuilder<SchemaTypes>) =>
      t.int({ description: 'Refuse with a `ConflictError` unless the object is at this version. Absent: whatever its version.' }),
    force: (t: ArgBuilder<SchemaTypes>, description: string) => t.boolean({ defaultValue: false, description }),
  };
}

/** How many keys the server is asked to make, wherever in the arguments. */
function keysAsked(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, inner]) => sum + (name === GENERATE && inner === true ? 1 : keysAsked(inner)), 0);
}

function addErrorTypes(builder: Builder) {
  const mutationError = builder.interfaceRef<GatewayError>('MutationError').implement({
    description: 'Why a mutation did nothing. Every member of a result union but the success implements it.',
    fields: (t) => ({
      code: t.exposeString('code', { description: 'Stable and meant for programs: `NOT_FOUND`, `CONFLICT`, …' }),
      message: t.exposeString('message', { description: 'Meant for people. Never holds a value that the caller sent.' }),
    }),
  });
  const pathDescription = 'Where in the arguments, as in `["input", "contacts", "0", "email"]`.';
  const pathOf = ({ path }: { readonly path: Path }) => path.map(String);

  const issue = builder.objectRef<Issue>('ValidationIssue').implement({
    description: 'One broken rule.',
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      message: t.exposeString('message', { description: 'What would be right.' }),
    }),
  });
  const usage = builder.objectRef<Usage>('InUseUsage').implement({
    description: 'An object that needs the one that was to be deleted.',
    fields: (t) => ({
      noun: t.exposeString('noun', { description: 'What it is: `connection`, `connector`, `endUser` or `credential`.' }),
      id: t.id({ description: 'Its global id; `node(id:)` gives it.', resolve: ({ noun, id }) => encodeId(noun as never, id) }),
      name: t.exposeString('name', { description: 'Its name, or an end user’s display name.' }),
    }),
  });

  builder.objectType(ValidationError, {
    name: 'ValidationError',
    description: 'The input breaks rules. All broken ones are listed, so that a form can mark every field at once.',
    interfaces: [mutationError],
    fields: (t) => ({ issues: t.field({ type: [issue], description: 'The broken rules.', resolve: ({ issues }) => issues }) }),
  });
  builder.objectType(NotFoundError, {
    name: 'NotFoundError',
    description: 'What the arguments name does not exist, or belongs to another organization: one answer for both.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(InvalidIntegrationError, {
    name: 'InvalidIntegrationError',
    description: 'The integration that the arguments name does not exist, or belongs to another organization.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(UnreadableSecretError, {
    name: 'UnreadableSecretError',
    description: 'The secret is there and cannot be opened: its key is destroyed or not at hand, or what is stored was tampered with.',
    interfaces: [mutationError],
  });
  builder.objectType(EmailNotVerifiedError, {
    name: 'EmailNotVerifiedError',
    description: 'Nobody vouched that the contact’s mail address is the contact’s, or there is none; `setEmailVerified` vouches.',
    interfaces: [mutationError],
  });
  const requirement = builder.enumType('SSORequirement', {
    description: 'What it takes to sign in to Zendesk.',
    values: Object.fromEntries(
      Object.entries(ssoRequirements).map(([name, text]) => [name, { description: `Missing: ${text}.` }]),
    ) as Record<keyof typeof ssoRequirements, { description: string }>,
  });
  builder.objectType(SSONotConfiguredError, {
    name: 'SSONotConfiguredError',
    description: 'Nothing can sign for the end user.',
    interfaces: [mutationError],
    fields: (t) => ({ missing: t.expose('missing', { type: requirement, description: 'What is missing.' }) }),
  });
  builder.objectType(ConflictError, {
    name: 'ConflictError',
    description: 'The name or external id is taken, or the object is at another version than expected.',
    interfaces: [mutationError],
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      currentVersion: t.exposeInt('currentVersion', {
        nullable: true,
        description: 'The version now, when that is the conflict; null when it is about a name.',
      }),
    }),
  });
  builder.objectType(InUseError, {
    name: 'InUseError',
    description: 'Something needs the object, or it is not empty. `force` deletes it all the same.',
    interfaces: [mutationError],
    fields: (t) => ({
      usages: t.field({
        type: [usage],
        description: 'The first ten at most, of those that the viewer has the scope to read.',
        resolve: ({ usages }) => usages,
      }),
      usageCount: t.exposeInt('usageCount', {
        description: 'How many in all, those that are not shown included. Counting stops at 100,000 of a kind.',
      }),
    }),
  });
}
