/** Names of the GraphQL schema that differ from those of `schema.graphql`: for a graph in which somebody else has the same names. */
export interface SchemaNames {
  /** The new name of each type, by its name in `schema.graphql`. */
  readonly types: Readonly<Record<string, string>>;
  /** The new name of each root field, by its place in `schema.graphql`, such as `Query.viewer`. Null leaves the field out. */
  readonly rootFields: Readonly<Record<string, string | null>>;
}

/**
 * What the subgraph contains that it does not by default:
 * - `plaintext`: the mutations that answer secrets, and their types, tagged `plaintext`. A router sees what it passes.
 * - `scopes`: `@requiresScopes` and `@authenticated`, for routers that check scopes themselves.
 * - `credentials`: a key of the interface of all credentials, for subgraphs that extend it with `@interfaceObject`.
 */
export const federationAdditions = ['plaintext', 'scopes', 'credentials'] as const;
export type FederationAddition = (typeof federationAdditions)[number];

/** How the gateway is a subgraph of Apollo Federation 2. */
export interface FederationOptions {
  readonly adds?: readonly FederationAddition[];
}

/** Names as in `schema.graphql`. */
export const defaultNames: SchemaNames = { types: {}, rootFields: {} };

/** Names of types or root fields are not valid. It is found out when the schema is built, at the start. */
export class SchemaNamesError extends Error {
  override name = 'SchemaNamesError';
  /** Everything that is wrong, each without a full stop. It names types and fields only. */
  readonly wrong: readonly string[];
  constructor(wrong: readonly string[]) {
    super(`The names of the schema are not valid: ${wrong.join('; ')}.`);
    this.wrong = wrong;
  }
}

/**
 * Returns whether a text can be a new name: a name of GraphQL (specification, section 2.1.9) with at most 100 characters. Names that begin with `_` belong to
 * GraphQL and to Federation.
 */
export function isNewName(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_]{0,99}$/.test(text);
}

/** The types that no schema can call otherwise: those of GraphQL itself, and the roots, by which clients and routers find everything else. */
const fixedTypes: readonly string[] = ['Query', 'Mutation', 'Subscription', 'ID', 'String', 'Int', 'Float', 'Boolean'];

/** The types and root fields by which routers of Apollo Federation find a subgraph. They cannot be called otherwise or left out. */
export const federationTypes: readonly string[] = ['_Any', '_Entity', '_Service'];
export const federationFields: readonly string[] = ['_service', '_entities'];

/** Returns whether a name means something in Federation or in GraphQL. `__` parts the names of an imported specification from its own (`federation__Scope`). */
function isReserved(name: string): boolean {
  return name.includes('__') || name === 'FieldSet';
}

/** Returns the new name of a type. */
export function typeNameIn({ types }: SchemaNames, name: string): string {
  return Object.hasOwn(types, name) ? types[name]! : name;
}

/** Returns the new name of a root field, and null if it is left out. `root` is `Query`, `Mutation` or `Subscription`. */
export function rootFieldIn({ rootFields }: SchemaNames, root: string, name: string): string | null {
  const place = `${root}.${name}`;
  return Object.hasOwn(rootFields, place) ? rootFields[place]! : name;
}

/** Returns whether all names are as in `schema.graphql`. */
export function areDefault({ types, rootFields }: SchemaNames): boolean {
  return Object.keys(types).length === 0 && Object.keys(rootFields).length === 0;
}

/**
 * Checks new names against what a schema has.
 * @throws SchemaNamesError that lists everything that is wrong
 */
export function checkNames(
  { types, rootFields }: SchemaNames,
  known: { readonly types: readonly string[]; readonly rootFields: readonly string[] },
): void {
  const wrong: string[] = [];
  const isOfFederation = (place: string) => [...federationTypes, ...federationFields.map((field) => `Query.${field}`)].includes(place);
  const check = (
    what: 'type' | 'root field',
    given: Readonly<Record<string, string | null>>,
    names: readonly string[],
    after: (old: string) => string,
  ) => {
    const taken = new Map<string, string>();
    for (const [old, name] of Object.entries(given)) {
      if (!names.includes(old) && !isOfFederation(old)) wrong.push(`there is no ${what} ${shown(old)}`);
      // Only a root field can be left out.
      if (name === null && what === 'root field') continue;
      if (typeof name !== 'string' || !isNewName(name))
        wrong.push(`the new name of ${shown(old)} must be letters and digits, at most 100, and begin with a letter`);
      else if (isReserved(name))
        wrong.push(`the new name of ${shown(old)} must not be FieldSet or contain __, which belongs to Federation`);
    }
    for (const old of names) {
      const name = Object.hasOwn(given, old) ? given[old]! : after(old);
      if (name === null) continue;
      const place = `${old.slice(0, -after(old).length)}${name}`;
      const other = taken.get(place);
      if (other !== undefined) wrong.push(`${shown(old)} and ${shown(other)} would both be called ${shown(name)}`);
      taken.set(place, old);
    }
  };
  for (const old of Object.keys(types))
    if (fixedTypes.includes(old) || federationTypes.includes(old)) wrong.push(`the type ${old} cannot be called otherwise`);
  for (const field of federationFields)
    if (Object.hasOwn(rootFields, `Query.${field}`)) wrong.push(`the root field Query.${field} cannot be called otherwise or left out`);
  check('type', types, known.types, (old) => old);
  check('root field', rootFields, known.rootFields, (old) => old.slice(old.indexOf('.') + 1));
  if (known.rootFields.filter((place) => place.startsWith('Query.')).every((place) => rootFields[place] === null))
    wrong.push('a query must be left');
  if (wrong.length > 0) throw new SchemaNamesError(wrong);
}

/**
 * Checks the form of what was given from code, where it can be anything.
 * @throws SchemaNamesError when names are not given in objects
 * @throws Error when `federation.adds` is not a list of additions
 */
export function checkGiven(names: SchemaNames, federation: FederationOptions | undefined): void {
  const isObject = (given: unknown) => typeof given === 'object' && given !== null && !Array.isArray(given);
  if (!isObject(names)) throw new SchemaNamesError(['names must be an object with types and rootFields']);
  const wrong = (['types', 'rootFields'] as const).filter((what) => !isObject(names[what]));
  if (wrong.length > 0) throw new SchemaNamesError(wrong.map((what) => `${what} must be an object with new names by the old ones`));
  if (federation === undefined) return;
  const isAddition = (item: unknown) => federationAdditions.some((each) => each === item);
  const adds: unknown = isObject(federation) ? (federation.adds ?? []) : undefined;
  if (!Array.isArray(adds) || !adds.every(isAddition))
    throw new Error(`federation.adds must be a list of: ${federationAdditions.join(', ')}.`);
}

/** A name as it may be shown: what is no name is not repeated. */
function shown(name: string): string {
  return /^[\w.]{1,100}$/.test(name) ? name : 'with this name';
}
