import { type Noun, nouns, nounTable } from '../access/nouns.ts';
import { readScope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { ALTERED_CREDENTIAL, OUTDATED_CREDENTIAL } from '../credential-kinds/define.ts';
import type { BaseRecord } from '../domain/reading.ts';
import { ForbiddenError, type Path, ValidationError } from '../errors.ts';
import type { FederationOptions } from '../schema-names.ts';
import type { GraphQLContext } from './kit/builder.ts';
import type { CostExtensions } from './kit/cost.ts';
import { type EntityKey, entityKeysOf } from './kit/entity-keys.ts';
import { parseId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { checkSought } from './kit/input.ts';
import type { NodeSource } from './kit/node.ts';
import type { PerOperationExtensions } from './kit/per-operation.ts';
import { CREDENTIAL_BASE } from './kit/subgraph-extensions.ts';
import { subgraphText } from './subgraph.ts';

/** How many representations one operation resolves, in all its `_entities` together: as many ids as one command reads. */
const REPRESENTATIONS_MAX = 1_000;

/** A representation of an entity, as a router sends it: the name of a type, and the fields of one of its keys. */
type Representation = Readonly<Record<string, unknown>>;

/** What a name of a type in a representation stands for. */
interface Entity {
  readonly noun: Noun;
  /** The names of the types that a found record can have, as in `schema.graphql`. */
  readonly types: ReadonlySet<string>;
  readonly keys: readonly EntityKey[];
}

/**
 * Adds what a router of Apollo Federation 2 asks a subgraph for (Apollo Federation subgraph specification): `_service` and `_entities`, with their types. Their
 * form is that of the specification; what the fields do is ours.
 */
export function addFederation(kit: Kit, options: FederationOptions): void {
  const { builder, kinds, typeName } = kit;
  const credentialTypes = [...kinds.readable.map((kind) => kind.typeName), ALTERED_CREDENTIAL, OUTDATED_CREDENTIAL];
  /** By the names that a router sends. */
  const entities = new Map<string, Entity>();
  const add = (name: string, noun: Noun, types: readonly string[] = [name]) =>
    entities.set(typeName(name), { noun, types: new Set(types), keys: entityKeysOf(noun) });
  for (const noun of nouns) if (noun !== 'credential') add(nounTable[noun].typeName, noun);
  for (const name of credentialTypes) add(name, 'credential');
  if (options.adds?.includes('credentials')) add(CREDENTIAL_BASE, 'credential', credentialTypes);

  const any = builder.scalarType('_Any', {
    description: 'A representation of an entity: `__typename`, and the fields of one of its keys. See `_entities`.',
    serialize: (value) => value,
    // What it must contain depends on its type. `_entities` checks each, so that one which is wrong does not refuse the others.
    parseValue: (value) => value,
  });
  const entity = builder.unionType('_Entity', {
    description: 'The types that other subgraphs can extend.',
    types: kit.entityTypes as never,
    resolveType: (record) => (record as unknown as NodeSource).__typename,
  });
  const service = builder.objectRef<object>('_Service').implement({
    description: 'This subgraph, for tools that compose graphs.',
    fields: (t) => ({
      sdl: t.string({
        description: 'The schema of the subgraph, with the directives of Apollo Federation. `credential-gateway subgraph` prints the same.',
        resolve: (_service, _args, _context, { schema }) => {
          text ??= subgraphText(schema, options);
          return text;
        },
      }),
    }),
  });
  let text: string | undefined;

  builder.queryField('_service', (t) =>
    t.field({
      type: service,
      // As introspection.
      extensions: { cost: { own: 100 } } satisfies CostExtensions,
      description: 'Returns this subgraph, for tools that compose graphs. Scope: none.',
      resolve: () => ({}),
    }),
  );
  builder.queryField('_entities', (t) =>
    t.field({
      type: [entity],
      nullable: { list: false, items: true },
      extensions: {
        cost: { items: ({ representations }) => (Array.isArray(representations) ? representations.length : 1) },
        perOperation: {
          itemsOf: ({ representations }) => (Array.isArray(representations) ? representations.length : 0),
          maximum: REPRESENTATIONS_MAX,
          limit: 'REPRESENTATIONS',
          what: 'The operation contains too many representations',
        },
      } satisfies CostExtensions & PerOperationExtensions,
      description: `Returns objects by their keys, in the same order, for a router: up to ${REPRESENTATIONS_MAX.toLocaleString('en')} in an operation. An item is null if there is no such object of this type. Scope: as for \`node\`.`,
      args: { representations: t.arg({ type: [any], required: true, description: 'The type and the key of each object.' }) },
      resolve: ((_root: unknown, { representations }: { readonly representations: readonly unknown[] }, context: GraphQLContext) =>
        representations.map((given, index) => load(given, ['representations', index], context))) as never,
    }),
  );

  /**
   * Returns the object of a representation. What decides comes in the order of what it tells: nothing is read for a type that the viewer may not
   * read, and an object of another type is answered as one that does not exist.
   */
  async function load(given: unknown, path: Path, context: GraphQLContext): Promise<NodeSource | null> {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) refuse(path, 'must be an object');
    const representation = given as Representation;
    const claimed = memberOf(representation, '__typename');
    const entity = typeof claimed === 'string' ? entities.get(claimed) : undefined;
    if (!entity) refuse([...path, '__typename'], 'must be the name of a type that has a key in this subgraph');
    const scope = readScope(entity.noun);
    if (!may(context.viewer, scope)) throw withoutStack(new ForbiddenError(scope));
    const found = await find(entity, representation, path, context);
    const node = found && kit.asNode(entity.noun, found);
    return node && entity.types.has(node.__typename) ? node : null;
  }

  async function find(entity: Entity, representation: Representation, path: Path, context: GraphQLContext): Promise<BaseRecord | null> {
    const has = (name: string) => Object.hasOwn(representation, name);
    const textOf = (name: string) => {
      const value = memberOf(representation, name);
      if (typeof value !== 'string') refuse([...path, name], 'must be a text');
      return value;
    };
    if (has('id')) {
      const parsed = parseId(textOf('id'));
      return parsed?.noun === entity.noun ? context.loaders[entity.noun].byId.load(parsed.id) : null;
    }
    const key = entity.keys.find(({ fields }) => fields.every(has));
    if (!key)
      refuse(path, `must have the fields of a key: ${['id', ...entity.keys.map(({ fields }) => fields.join(' and '))].join(', or ')}`);
    return key.load(
      key.fields.map((name) => checkSought(textOf(name), [...path, name])),
      context,
      path,
    );
  }
}

/** Returns a member of what a caller sent, but nothing that all objects have. */
function memberOf(representation: Representation, name: string): unknown {
  return Object.hasOwn(representation, name) ? representation[name] : undefined;
}

function refuse(path: Path, message: string): never {
  throw withoutStack(new ValidationError([{ path, message }]));
}

/**
 * Takes away the stack of an error. graphql-js reads it, and V8 writes it as text only then: that takes longer than everything else about a refusal,
 * and each representation can be refused.
 */
function withoutStack<E extends Error>(error: E): E {
  delete error.stack;
  return error;
}
