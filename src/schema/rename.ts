import {
  defaultTypeResolver,
  type GraphQLNamedType,
  type GraphQLObjectType,
  GraphQLSchema,
  type GraphQLTypeResolver,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  Kind,
  OperationTypeNode,
  parse,
  visit,
} from 'graphql';
import { areDefault, checkNames, rootFieldIn, type SchemaNames, typeNameIn } from '../schema-names.ts';

/** What is described: a type, a field, an argument or a value. */
interface Described {
  description?: string | null | undefined;
}

const rootNames: Readonly<Record<OperationTypeNode, string>> = {
  [OperationTypeNode.QUERY]: 'Query',
  [OperationTypeNode.MUTATION]: 'Mutation',
  [OperationTypeNode.SUBSCRIPTION]: 'Subscription',
};

/**
 * Gives the types and root fields of a schema other names, and leaves root fields out. Everything that is derived from the schema follows:
 * `__typename`, unions, `node`, scopes, costs and descriptions. The types are changed, so the given schema must not be used any more.
 * @throws SchemaNamesError
 */
export function renamed(schema: GraphQLSchema, names: SchemaNames): GraphQLSchema {
  if (areDefault(names)) return schema;
  const types = Object.values(schema.getTypeMap()).filter((type) => !isIntrospectionType(type));
  const roots = Object.values(OperationTypeNode).flatMap((operation) => schema.getRootType(operation) ?? []);
  checkNames(names, {
    types: types.map(({ name }) => name),
    rootFields: roots.flatMap((root) => Object.keys(root.getFields()).map((field) => `${root.name}.${field}`)),
  });
  for (const root of roots) renameFields(root, names);
  for (const type of types) {
    if (isSpecifiedScalarType(type)) continue;
    if (isAbstractType(type)) type.resolveType = following(type.resolveType ?? defaultTypeResolver, names);
    for (const described of describedIn(type)) described.description = textIn(names, described.description);
    type.name = typeNameIn(names, type.name);
  }
  const { query, mutation, subscription, ...config } = schema.toConfig();
  const left = (root: GraphQLObjectType | null | undefined) => (root && Object.keys(root.getFields()).length > 0 ? root : null);
  const isGone = (type: GraphQLNamedType) => [mutation, subscription].some((root) => root === type && !left(root));
  return new GraphQLSchema({
    ...config,
    query: query ?? null,
    mutation: left(mutation),
    subscription: left(subscription),
    types: config.types.filter((type) => !isGone(type)),
  });
}

/**
 * Returns a document that was written for `schema.graphql`, with the other names. With `keepsKeys`, the keys of its answer stay as they were.
 * Undefined if it asks for a root field that is left out.
 */
export function renamedDocument(text: string, names: SchemaNames, { keepsKeys = false } = {}): string | undefined {
  const changes: { readonly at: number; readonly length: number; readonly name: string }[] = [];
  let isWhole = true;
  visit(parse(text), {
    OperationDefinition({ operation, selectionSet }) {
      for (const selection of selectionSet.selections) {
        if (selection.kind !== Kind.FIELD) continue;
        const { name, alias } = selection;
        const now = rootFieldIn(names, rootNames[operation], name.value);
        if (now === null) isWhole = false;
        else if (now !== name.value) {
          const key = keepsKeys && !alias ? `${name.value}: ` : '';
          changes.push({ at: name.loc!.start, length: name.value.length, name: `${key}${now}` });
        }
      }
    },
    NamedType({ name: { value, loc } }) {
      changes.push({ at: loc!.start, length: value.length, name: typeNameIn(names, value) });
    },
  });
  if (!isWhole) return undefined;
  // From the end, so that the places before stay where they are.
  return changes
    .sort((a, b) => b.at - a.at)
    .reduce((result, { at, length, name }) => result.slice(0, at) + name + result.slice(at + length), text);
}

function renameFields(root: GraphQLObjectType, names: SchemaNames): void {
  const fields = root.getFields();
  const all = Object.values(fields);
  for (const { name } of all) delete fields[name];
  for (const field of all) {
    const name = rootFieldIn(names, root.name, field.name);
    if (name === null) continue;
    field.name = name;
    fields[name] = field;
  }
}

/** The same function, which tells the new name of the type. */
function following(resolve: GraphQLTypeResolver<unknown, unknown>, names: SchemaNames): GraphQLTypeResolver<unknown, unknown> {
  const told = (name: string | undefined) => (name === undefined ? undefined : typeNameIn(names, name));
  return (...given) => {
    const found = resolve(...given);
    return typeof found === 'object' && found !== null ? Promise.resolve(found).then(told) : told(found as string | undefined);
  };
}

function describedIn(type: GraphQLNamedType): Described[] {
  if (isEnumType(type)) return [type, ...type.getValues()];
  if (isInputObjectType(type)) return [type, ...Object.values(type.getFields())];
  if (!isObjectType(type) && !isInterfaceType(type)) return [type];
  return [type, ...Object.values(type.getFields()).flatMap((field) => [field, ...field.args])];
}

/** Returns a description with the new names of the types and the mutations that it names. Other root fields have the names of many things. */
function textIn(names: SchemaNames, text: string | null | undefined): string | null | undefined {
  return text?.replace(/(?<=`)[A-Za-z]\w*(?=[`.({])/g, (name) => rootFieldIn(names, 'Mutation', typeNameIn(names, name)) ?? name);
}
