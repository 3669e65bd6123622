import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputFieldMap,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  getNamedType,
  isAbstractType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { type Noun, nouns, type Scope } from '../../src/access/scopes.ts';
import { createSchema } from '../../src/schema/index.ts';
import { kindRegistry } from '../kinds.ts';

// The schema itself tells the contract tests what there is: what is added to it is tested without being listed here.

export const schema = createSchema(kindRegistry);
export type Field = GraphQLField<unknown, unknown>;

const byName = (a: Field, b: Field) => (a.name < b.name ? -1 : 1);
const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
export const queryFields: readonly Field[] = Object.values(schema.getQueryType()!.getFields()).sort(byName);
export const subscriptionFields: readonly Field[] = Object.values(schema.getSubscriptionType()!.getFields()).sort(byName);
// In a fixed order: several files send all of them to one world, and some change what others need.
export const mutationFields: readonly Field[] = Object.values(schema.getMutationType()!.getFields()).sort(byName);
/** All that reads. */
export const readFields: readonly Field[] = [...queryFields, ...subscriptionFields];
export const rootFields: readonly Field[] = [...readFields, ...mutationFields];

/** The name of a root field among all of them: a subscription can be called like a query. */
export function titleOf(field: Field): string {
  return subscriptionFields.includes(field) ? `subscription ${field.name}` : field.name;
}

/** The members of a mutation's input. */
export function inputFields({ args: [input] }: Field): GraphQLInputFieldMap {
  return (getNamedType(input!.type) as GraphQLInputObjectType).getFields();
}

/** All types but those of the language itself. */
export const types: readonly GraphQLNamedType[] = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith('__'));
export const objectTypes = types.filter(isObjectType).filter((type) => !roots.includes(type));

/** The types that implement `Node` and show records. The viewer is no record. */
export const nodeTypes = objectTypes.filter((type) => type.name !== 'Viewer' && type.getInterfaces().some(({ name }) => name === 'Node'));
export const isPage = (type: GraphQLNamedType) => /Page$/.test(type.name) && isObjectType(type) && 'totalCount' in type.getFields();
export const isEdge = (type: GraphQLNamedType) => /PageEdge$/.test(type.name);

/** The scope that a field or type declares. */
export function scopeOf({ extensions }: { readonly extensions: unknown }): Scope | undefined {
  return (extensions as { pothosOptions?: { authScopes?: { scope?: Scope } } }).pothosOptions?.authScopes?.scope;
}

/** The object types that a field may give. */
export function objectsOf(field: Field): readonly GraphQLObjectType[] {
  const type = getNamedType(field.type);
  if (isAbstractType(type)) return schema.getPossibleTypes(type);
  return isObjectType(type) ? [type] : [];
}

/** Whether a field gives an object of any noun. It asks for the scope of the noun that is in the id, before anything is loaded. */
export const decidesByNoun = (field: Field) => getNamedType(field.type).name === 'Node';

/** The noun whose records a type shows: all kinds of credentials are one. */
export function nounOf(type: GraphQLNamedType): Noun {
  if (schema.getPossibleTypes(schema.getType('Credential') as never).some((kind) => kind === type)) return 'credential';
  const noun = nouns.find((each) => each.toLowerCase() === type.name.toLowerCase());
  if (!noun) throw new Error(`${type.name} is a Node and of no noun.`);
  return noun;
}

/** Every page of the schema: `Query.connections`, `EndUser.credentials`, … Those of an interface stand for its members. */
export const pageFields: readonly { readonly at: string; readonly parent: string; readonly field: Field }[] = [
  schema.getQueryType()!,
  ...types.filter((type) => 'getFields' in type && !isInputObjectType(type)),
]
  .filter((type, index, all) => all.indexOf(type) === index)
  .flatMap((parent) =>
    Object.values((parent as GraphQLObjectType).getFields())
      .filter((field) => isPage(getNamedType(field.type)))
      .filter((field) => !isObjectType(parent) || !parent.getInterfaces().some((each) => field.name in each.getFields()))
      .map((field) => ({ at: `${parent.name}.${field.name}`, parent: parent.name, field })),
  );

/** Where an argument names an object: by an input of several identities, or by its global id alone. */
export interface Reference {
  readonly path: readonly (string | number)[];
  /** The input type; `ID` or `[ID]` for a bare id. */
  readonly type: string;
  /** The noun that is meant; any, when the place takes all. */
  readonly noun: Noun | 'any';
}

const isRef = (type: GraphQLNamedType) => isInputObjectType(type) && /Ref$/.test(type.name);

/** The references within arguments that are given. */
export function referencesIn(field: Field, args: Readonly<Record<string, unknown>>): Reference[] {
  return field.args.flatMap((arg) =>
    args[arg.name] == null ? [] : within(arg.type, args[arg.name], [arg.name], `${field.name}.${arg.name}`),
  );
}

function within(type: GraphQLInputType, value: unknown, path: Reference['path'], at: string): Reference[] {
  if (isNonNullType(type)) return within(type.ofType, value, path, at);
  const named = getNamedType(type);
  if (named.name === 'ID') return [{ path, type: isListType(type) ? '[ID]' : 'ID', noun: nounMeant(at) }];
  if (isRef(named)) return [{ path, type: named.name, noun: nounMeant(named.name) }];
  if (isListType(type)) return (value as unknown[]).flatMap((item, index) => within(type.ofType, item, [...path, index], at));
  if (!isInputObjectType(named)) return [];
  const given = value as Record<string, unknown>;
  return Object.values(named.getFields()).flatMap((member) =>
    given[member.name] == null ? [] : within(member.type, given[member.name], [...path, member.name], `${named.name}.${member.name}`),
  );
}

/** Every place in a field's arguments where an object can be named, list positions left out. */
export function referencePlaces(field: Field): Set<string> {
  const places = new Set<string>();
  const visit = (type: GraphQLInputType, path: string, above: readonly GraphQLNamedType[]) => {
    const named = getNamedType(type);
    if (named.name === 'ID' || isRef(named)) places.add(path);
    else if (isInputObjectType(named) && !above.includes(named)) {
      for (const member of Object.values(named.getFields())) visit(member.type, `${path}.${member.name}`, [...above, named]);
    }
  };
  for (const arg of field.args) visit(arg.type, arg.name, []);
  return places;
}

/** Which noun an id stands for, from where it stands; a place that this does not know must be added here. */
export function nounMeant(at: string): Noun | 'any' {
  const [owner = '', name = ''] = at.split('.');
  if (/^(node|nodes)$/.test(owner) || name === 'objectId') return 'any';
  if (/CredentialId$/.test(name) || owner === 'ConnectionCredentialSource') return 'credential';
  const noun = nouns.find((each) => each === name) ?? nouns.find((each) => new RegExp(`(^|[a-z])${each}(Ref)?$`, 'i').test(owner));
  if (!noun) throw new Error(`Which noun does ${at} mean?`);
  return noun;
}

/** The arguments, with another value at a path. */
export function withValue<T>(target: T, [first, ...rest]: readonly (string | number)[], value: unknown): T {
  if (first === undefined) return value as T;
  const copy = (Array.isArray(target) ? [...target] : { ...target }) as Record<string | number, unknown>;
  copy[first] = withValue(copy[first], rest, value);
  return copy as T;
}

/** The kind of the operations that a root field is for. */
export function operationKind(field: Field): 'query' | 'mutation' | 'subscription' {
  if (subscriptionFields.includes(field)) return 'subscription';
  return mutationFields.includes(field) ? 'mutation' : 'query';
}

/** An operation of one root field, under the name `result`, its arguments given as variables. */
export function operationOf(field: Field, args: Readonly<Record<string, unknown>>, selection: string) {
  const kind = operationKind(field);
  const given = field.args.filter(({ name }) => name in args);
  const list = (write: (arg: GraphQLArgument) => string) => (given.length > 0 ? `(${given.map(write).join(', ')})` : '');
  const query = `${kind} ${list(({ name, type }) => `$${name}: ${type}`)} {
    result: ${field.name} ${list(({ name }) => `${name}: $${name}`)} ${selection}
  }`;
  return { query, variables: args };
}

/** What to select of a root field’s answer: enough to tell what it is, and that it is there. */
export function selectionOf(field: Field): string {
  const type = getNamedType(field.type);
  if (isPage(type)) {
    return '{ totalCount nodes { __typename ... on Node { id } } edges { cursor node { __typename ... on Node { id } } } pageInfo { hasNextPage endCursor } }';
  }
  return isObjectType(type) && !nodeTypes.includes(type) ? '{ __typename }' : '{ __typename ... on Node { id } }';
}

const errorFields: Readonly<Record<string, string>> = {
  ValidationError: 'issues { path message }',
  NotFoundError: 'path',
  InvalidIntegrationError: 'path',
  ConflictError: 'path currentVersion',
};

/** What to select of a mutation’s result: which it is, and all that an error tells. */
export function resultSelection({ type }: Field): string {
  const members = schema
    .getPossibleTypes(getNamedType(type) as never)
    .flatMap(({ name }) => (errorFields[name] ? [`... on ${name} { ${errorFields[name]} }`] : []));
  return `{ __typename ... on MutationError { code message } ${members.join(' ')} }`;
}
