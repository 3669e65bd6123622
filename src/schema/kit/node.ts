import { nounTable } from '../../access/nouns.ts';
import { type Noun, nouns, readScope } from '../../access/scopes.ts';
import { may } from '../../access/viewer.ts';
import { ALTERED_CREDENTIAL, OUTDATED_CREDENTIAL } from '../../credential-kinds/define.ts';
import type { KindRegistry } from '../../credential-kinds/registry.ts';
import type { BaseRecord, CredentialRecord } from '../../domain/reading.ts';
import { ForbiddenError } from '../../errors.ts';
import type { Builder, GraphQLContext, OutputBuilder } from './builder.ts';
import type { CostExtensions } from './cost.ts';
import { parseId, VIEWER, viewerId } from './global-id.ts';

const IDS_MAX = 100;

/** A record that is returned as a `Node`, with the name of its GraphQL type. */
export interface NodeSource extends BaseRecord {
  readonly __typename: string;
}

/** Adds the interface `Node`. */
export function addNode(builder: Builder) {
  return builder.interfaceRef<BaseRecord>('Node').implement({
    description: 'An object with a global id, which is unique among all objects.',
    fields: (t) => ({
      id: t.id({
        description: 'The global id. It is opaque and never changes, not even if the object is renamed.',
        resolve: ({ id }) => id,
      }),
    }),
  });
}

/** Returns the name of the GraphQL type of a credential. */
export function credentialTypeName(kinds: KindRegistry, credential: CredentialRecord): string {
  if (credential.isAltered) return ALTERED_CREDENTIAL;
  return kinds.misfits(credential).length > 0 ? OUTDATED_CREDENTIAL : kinds.of(credential).typeName;
}

export type NodeRef = ReturnType<typeof addNode>;

/** The interface `Node`, and how to load a record of any noun for it. Null if the record is not found. */
export interface Nodes {
  readonly node: NodeRef;
  readonly load: (noun: Noun, id: string, context: GraphQLContext) => Promise<NodeSource | null>;
  /** Returns a record as a node. */
  readonly asNode: (noun: Noun, record: BaseRecord) => NodeSource;
}

/** Returns the functions that make nodes of records, and load them. */
export function nodeLoader(kinds: KindRegistry): Pick<Nodes, 'load' | 'asNode'> {
  const typeNameOf = (noun: Noun, record: BaseRecord) =>
    noun === 'credential' ? credentialTypeName(kinds, record as CredentialRecord) : nounTable[noun].typeName;
  const asNode: Nodes['asNode'] = (noun, record) => ({ ...record, __typename: typeNameOf(noun, record) });
  return {
    asNode,
    async load(noun, id, { viewer, loaders }) {
      const scope = readScope(noun);
      if (!may(viewer, scope)) throw new ForbiddenError(scope);
      const record = await loaders[noun].byId.load(id);
      return record && asNode(noun, record);
    },
  };
}

/** Returns what makes a field for the object of any noun that a record names. Null if it is not found, or the record names none. */
export function relatedNodes({ node, load }: Pick<Nodes, 'node' | 'load'>) {
  return <Source>(
    t: OutputBuilder<Source>,
    options: {
      readonly description: string;
      /** The noun comes from a record that somebody else can have changed. */
      readonly of: (source: Source) => { readonly noun: string | null; readonly id: string | null };
    },
  ) =>
    t.field({
      type: node,
      nullable: true,
      description: `${options.description} Scope: depends on the type of the object, such as \`credentials.get\`.`,
      resolve: ((source: Source, _args: unknown, context: GraphQLContext) => {
        const { noun, id } = options.of(source);
        const known = nouns.find((each) => each === noun);
        return known && id ? load(known, id, context) : null;
      }) as never,
    });
}

/**
 * Adds `node` and `nodes`. Those of Pothos check the scope after loading, so a caller without the scope could find out which objects exist.
 * Here the id alone decides which scope is needed, before anything is loaded.
 */
export function addNodeQueries(builder: Builder, { node, load: loadRecord }: Nodes): void {
  async function load(globalId: string, context: GraphQLContext): Promise<NodeSource | null> {
    // No record, and open to the viewer itself, so it needs no scope.
    if (globalId === viewerId(context.viewer)) return { ...context.viewer, __typename: VIEWER } as object as NodeSource;
    const parsed = parseId(globalId);
    return parsed ? loadRecord(parsed.noun, parsed.id, context) : null;
  }
  builder.queryField('node', (t) =>
    t.field({
      type: node,
      nullable: true,
      description:
        'Returns any object by its global id. Null if it is not found or the id is malformed. Scope: depends on the noun in the id, such as `credentials.get`; none for the id of the viewer.',
      args: { id: t.arg.id({ required: true, description: 'The global id.' }) },
      resolve: (_root, { id }, context) => load(id, context),
    }),
  );
  builder.queryField('nodes', (t) =>
    t.field({
      type: [node],
      nullable: { list: false, items: true },
      description:
        'Returns up to 100 objects by their global ids, in the same order. An item is null if `node` would return null. Scope: as for `node`.',
      extensions: { cost: { items: ({ ids }) => (ids as readonly string[] | undefined)?.length ?? 1 } } satisfies CostExtensions,
      args: { ids: t.arg.idList({ required: true, description: 'The global ids. For ids after the first 100, the result is null.' }) },
      resolve: (_root, { ids }, context) => ids.map((id, index) => (index < IDS_MAX ? load(id, context) : null)),
    }),
  );
}
