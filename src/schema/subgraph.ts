import {
  type ConstDirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isAbstractType,
  isCompositeType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isObjectType,
  isUnionType,
  Kind,
  lexicographicSortSchema,
  parse,
  print,
  printSchema,
  type TypeDefinitionNode,
  visit,
} from 'graphql';
import { grantableScopes, type Scope, scopesOf } from '../access/scopes.ts';
import { type FederationOptions, federationFields, federationTypes } from '../schema-names.ts';
import { type Cost, type CostExtensions, LIST_SIZE, PAGE_DEFAULT, PAGE_MAX } from './kit/cost.ts';
import { givesPlaintext } from './kit/per-request.ts';
import type { InterfaceKeyExtensions, KeyExtensions, ShareableExtensions } from './kit/subgraph-extensions.ts';

/** The first version of Federation that has everything that is used here. */
const FEDERATION = 'https://specs.apollo.dev/federation/v2.9';
const ONE_OF = 'https://spec.graphql.org/oneOf/v1.0';
const TAG = '@tag(name: "plaintext")';

/** Returns the schema of the subgraph as text, from a schema that was made with federation. */
export function subgraphText(schema: GraphQLSchema, { adds = [] }: FederationOptions): string {
  const mutations = Object.values(schema.getMutationType()?.getFields() ?? {});
  const plaintext = new Set(mutations.filter(givesPlaintext));
  const open = reachable(schema, plaintext);
  const isIn = (name: string) => adds.includes('plaintext') || open.has(name);
  const entities = new Set((schema.getType('_Entity') as { getTypes?(): readonly GraphQLObjectType[] } | undefined)?.getTypes?.() ?? []);
  const used = new Set<string>();

  /** Returns the directives of a type. */
  function ofType(type: GraphQLNamedType): string[] {
    const {
      keys = [],
      isShareable,
      mayHaveKey,
      cost,
    } = type.extensions as KeyExtensions & ShareableExtensions & InterfaceKeyExtensions & CostExtensions;
    const hasKey = entities.has(type as GraphQLObjectType) || (mayHaveKey && adds.includes('credentials'));
    return [
      ...(hasKey ? ['id', ...keys].map((fields) => `@key(fields: "${fields}")`) : []),
      ...(isShareable ? ['@shareable'] : []),
      ...(open.has(type.name) ? [] : [TAG]),
      ...(isObjectType(type) ? [...scopeDirective(type), ...weightOf(cost)] : []),
    ];
  }

  /** Returns the directives of a field of an object type. */
  function ofField(parent: GraphQLObjectType, field: GraphQLField<unknown, unknown>): string[] {
    const isRoot = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].includes(parent);
    const required = scopeDirective(field);
    const { cost } = field.extensions as CostExtensions;
    return [
      ...(plaintext.has(field) ? [TAG] : []),
      ...required,
      ...(isRoot && required.length === 0 && adds.includes('scopes') ? ['@authenticated'] : []),
      ...weightOf(cost),
      ...listSize(field, cost),
    ];
  }

  /** Returns which grants give access: the scope itself, or any wildcard that covers it. */
  function scopeDirective({ extensions }: { readonly extensions: unknown }): string[] {
    const { scope } = (extensions as { pothosOptions?: { authScopes?: { scope?: Scope } } }).pothosOptions?.authScopes ?? {};
    if (!scope || !adds.includes('scopes')) return [];
    const grants = grantableScopes.filter((grant) => scopesOf(grant).includes(scope));
    return [`@requiresScopes(scopes: [${grants.map((grant) => `["${grant}"]`).join(', ')}])`];
  }

  const directives = (texts: readonly string[]): ConstDirectiveNode[] => {
    for (const text of texts) used.add(/^@\w+/.exec(text)![0]);
    return texts.length === 0 ? [] : directivesIn(texts.join(' '));
  };
  let within: GraphQLObjectType | undefined;
  let hasOneOf = false;
  const { definitions } = visit(parse(printSchema(lexicographicSortSchema(schema)), { noLocation: true }), {
    enter(node) {
      if (node.kind === Kind.FIELD_DEFINITION) {
        const field = within?.getFields()[node.name.value];
        if (!within || !field) return undefined;
        // A router knows them by itself.
        if (within === schema.getQueryType() && federationFields.includes(field.name)) return null;
        if (plaintext.has(field) && !adds.includes('plaintext')) return null;
        return withDirectives(node, directives(ofField(within, field)));
      }
      if (!isTypeDefinition(node)) return undefined;
      const type = schema.getType(node.name.value)!;
      if (federationTypes.includes(type.name) || !isIn(type.name)) return null;
      within = isObjectType(type) ? type : undefined;
      hasOneOf ||= isInputObjectType(type) && type.isOneOf;
      return withDirectives(node, directives(ofType(type)));
    },
  }) as DocumentNode;
  const imported = [...used].filter((name) => name !== '@oneOf').sort();
  const head = [
    'extend schema',
    `  @link(url: "${FEDERATION}", import: [${[...(hasOneOf ? ['@composeDirective'] : []), ...imported].map((name) => `"${name}"`).join(', ')}])`,
    // A router would drop it otherwise, and refuses it if it is not declared.
    ...(hasOneOf
      ? [`  @link(url: "${ONE_OF}", import: ["@oneOf"])`, '  @composeDirective(name: "@oneOf")', '', 'directive @oneOf on INPUT_OBJECT']
      : []),
  ];
  return `${head.join('\n')}\n\n${print({ kind: Kind.DOCUMENT, definitions })}\n`;
}

/** Returns the names of the types that are reached from the roots and the entities, without certain fields. */
function reachable(schema: GraphQLSchema, without: ReadonlySet<object>): ReadonlySet<string> {
  const seen = new Set<GraphQLNamedType>();
  const pending: GraphQLNamedType[] = [];
  const reach = (type: GraphQLNamedType | null | undefined) => {
    if (!type || seen.has(type)) return;
    seen.add(type);
    pending.push(type);
  };
  for (const root of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) reach(root);
  for (let type = pending.pop(); type; type = pending.pop()) {
    if (isAbstractType(type)) for (const each of schema.getPossibleTypes(type)) reach(each);
    if (isUnionType(type)) continue;
    if (isObjectType(type) || isInterfaceType(type)) for (const each of type.getInterfaces()) reach(each);
    if (isInputObjectType(type)) for (const field of Object.values(type.getFields())) reach(getNamedType(field.type));
    if (!isObjectType(type) && !isInterfaceType(type)) continue;
    for (const field of Object.values(type.getFields())) {
      if (without.has(field)) continue;
      reach(getNamedType(field.type));
      for (const arg of field.args) reach(getNamedType(arg.type));
    }
  }
  return new Set([...seen].map(({ name }) => name));
}

/** Returns `@cost` for a cost that differs from the default. One that depends on arguments is that without arguments. */
function weightOf(cost: Cost | undefined): string[] {
  const own = typeof cost?.own === 'function' ? cost.own({}) : cost?.own;
  return own === undefined ? [] : [`@cost(weight: ${own})`];
}

/** Returns `@listSize` for a list of objects, and for a field that gives a page. */
function listSize(field: GraphQLField<unknown, unknown>, cost: Cost | undefined): string[] {
  const type = getNamedType(field.type);
  if (isObjectType(type) && (type.extensions as CostExtensions).isPage) {
    const sized = Object.values(type.getFields()).filter(({ extensions }) => (extensions as CostExtensions).cost?.items === 'page');
    const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => `"${name}"`).join(', ');
    const slicing = field.args.filter(({ name }) => name === 'first' || name === 'last');
    return [
      `@listSize(assumedSize: ${PAGE_DEFAULT}, slicingArguments: [${names(slicing)}], sizedFields: [${names(sized)}], requireOneSlicingArgument: false)`,
    ];
  }
  // The field that gives the page tells.
  if (!isListType(getNullableType(field.type)) || !isCompositeType(type) || cost?.items === 'page') return [];
  return [`@listSize(assumedSize: ${cost?.items ? PAGE_MAX : LIST_SIZE})`];
}

function withDirectives<Node extends FieldDefinitionNode | TypeDefinitionNode>(node: Node, added: readonly ConstDirectiveNode[]): Node {
  return added.length === 0 ? (node as never) : { ...node, directives: [...(node.directives ?? []), ...added] };
}

function directivesIn(text: string): ConstDirectiveNode[] {
  const [definition] = parse(`scalar Any ${text}`, { noLocation: true }).definitions;
  return [...(definition as TypeDefinitionNode).directives!];
}

function isTypeDefinition(node: { readonly kind: string }): node is TypeDefinitionNode {
  return /TypeDefinition$/.test(node.kind);
}
