import {
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLNamedInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from 'graphql';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import { credentialKinds } from '../kinds.ts';
import type { BoundWorld } from '../world.ts';
import { type Field, nounMeant } from './walk.ts';

export type Path = readonly (string | number)[];

/** A value in the arguments of a mutation: where it stands, and what may stand there. */
export interface Spot {
  readonly path: Path;
  readonly type: GraphQLInputType;
  /** Whether a credential kind says that what stands here is secret. */
  readonly isSecret: boolean;
  /** The input object that it is a member of; undefined for an argument. */
  readonly parent: GraphQLInputObjectType | undefined;
}

/** Arguments, with all that is in them. */
export interface Tree {
  readonly args: Record<string, unknown>;
  readonly leaves: readonly Spot[];
  readonly objects: readonly Spot[];
}

const kindOfInput = new Map<string, CredentialKind>(
  credentialKinds.flatMap((kind) => [
    [`${kind.typeName}Input`, kind],
    [`${kind.typeName}Changes`, kind],
  ]),
);

/** The kind whose fields an input has. */
export function kindOfData(type: GraphQLInputType | undefined): CredentialKind | undefined {
  return type && kindOfInput.get(getNamedType(type).name);
}

/** Whether an input has a member for each kind. */
export function isCredentialData(type: GraphQLInputType): boolean {
  const named = getNamedType(type);
  return isInputObjectType(named) && named.isOneOf === true && Object.values(named.getFields()).some((member) => kindOfData(member.type));
}

const isRef = (type: GraphQLNamedInputType) => isInputObjectType(type) && /Ref$/.test(type.name);

function isSecretIn(parent: GraphQLInputObjectType | undefined, name: string): boolean {
  return (parent && kindOfInput.get(parent.name)?.fields[name]?.secret) === true;
}

/** The name of a place: that of its mutation and its path, whichever the items of lists. */
export function placeAt(field: Field, path: Path): string {
  return `${field.name}: ${path.map((name) => (typeof name === 'number' ? '*' : name)).join('.')}`;
}

/** Every place of a mutation where a scalar or an enum can stand, and whether it is a secret's. */
export function leafPlaces(field: Field): Map<string, boolean> {
  const places = new Map<string, boolean>();
  const visit = (type: GraphQLInputType, path: Path, parent: GraphQLInputObjectType | undefined, above: readonly string[]): void => {
    if (isNonNullType(type)) visit(type.ofType, path, parent, above);
    else if (isListType(type)) visit(type.ofType, [...path, 0], parent, above);
    else if (!isInputObjectType(type)) {
      places.set(placeAt(field, path), isSecretIn(parent, String(path.findLast((name) => typeof name === 'string'))));
    } else if (!above.includes(type.name)) {
      for (const member of Object.values(type.getFields())) visit(member.type, [...path, member.name], type, [...above, type.name]);
    }
  };
  for (const arg of field.args) visit(arg.type, [arg.name], undefined, []);
  return places;
}

/**
 * Arguments of a mutation with everything in them that its types have, and of each `@oneOf` one member: all of them are met by counting
 * variants up from 0. References name what is in the world, unless they are to be made up too.
 */
export function treeOf(field: Field, variant: number, leaf: (spot: Spot) => unknown, world?: BoundWorld): Tree {
  const leaves: Spot[] = [];
  const objects: Spot[] = [];
  const make = (spot: Spot, above: readonly string[], choice: number): unknown => {
    const { type, path } = spot;
    if (isNonNullType(type)) return make({ ...spot, type: type.ofType }, above, choice);
    if (isListType(type)) return [make({ ...spot, type: type.ofType, path: [...path, 0] }, above, choice)];
    if (world && isRef(type)) return world.refs[type.name]![choice % world.refs[type.name]!.length];
    if (!isInputObjectType(type)) {
      leaves.push(spot);
      if (isEnumType(type)) return type.getValues()[choice % type.getValues().length]!.name;
      if (world && type.name === 'ID') return idOf(world, field, path, spot.parent);
      return leaf(spot);
    }
    objects.push(spot);
    const members = Object.values(type.getFields()).filter((member) => !above.includes(getNamedType(member.type).name));
    const chosen = type.isOneOf ? [members[choice % members.length]!] : members;
    const rest = type.isOneOf ? Math.floor(choice / members.length) : choice;
    return Object.fromEntries(
      chosen.map((member) => {
        const of: Spot = { path: [...path, member.name], type: member.type, parent: type, isSecret: isSecretIn(type, member.name) };
        return [member.name, make(of, [...above, type.name], rest)];
      }),
    );
  };
  const args = Object.fromEntries(
    field.args.map(({ name, type }) => [name, make({ path: [name], type, parent: undefined, isSecret: false }, [], variant)]),
  );
  return { args, leaves, objects };
}

/** What is in arguments that are given. */
export function spotsIn(field: Field, args: Readonly<Record<string, unknown>>): Pick<Tree, 'leaves' | 'objects'> {
  const leaves: Spot[] = [];
  const objects: Spot[] = [];
  const visit = (spot: Spot, value: unknown): void => {
    const { type, path } = spot;
    if (value === null || value === undefined) return;
    if (isNonNullType(type)) visit({ ...spot, type: type.ofType }, value);
    else if (isListType(type)) {
      for (const [index, item] of (value as unknown[]).entries()) visit({ ...spot, type: type.ofType, path: [...path, index] }, item);
    } else if (isInputObjectType(type)) {
      objects.push(spot);
      for (const [name, member] of Object.entries(value)) {
        const memberType = type.getFields()[name]!.type;
        visit({ path: [...path, name], type: memberType, parent: type, isSecret: isSecretIn(type, name) }, member);
      }
    } else leaves.push(spot);
  };
  for (const { name, type } of field.args) visit({ path: [name], type, parent: undefined, isSecret: false }, args[name]);
  return { leaves, objects };
}

function idOf({ ids }: BoundWorld, field: Field, path: Path, parent: GraphQLInputObjectType | undefined): string {
  const noun = nounMeant(`${parent?.name ?? field.name}.${String(path.at(-1))}`);
  return ids[noun === 'any' ? 'credential' : noun];
}

/** As few variants as meet every place of a mutation. */
export function variantsOf(field: Field): number[] {
  const open = new Set(leafPlaces(field).keys());
  const variants: number[] = [];
  for (let variant = 0; open.size > 0; variant++) {
    if (variant > 10_000) throw new Error(`No variant of ${field.name} has ${[...open].join(', ')}.`);
    const before = open.size;
    for (const { path } of treeOf(field, variant, () => '').leaves) open.delete(placeAt(field, path));
    if (open.size < before) variants.push(variant);
  }
  return variants;
}

/** A value as it is written in a document. What is not of its type is written as JSON would. */
export function literal(type: GraphQLInputType | undefined, value: unknown): string {
  if (type && isNonNullType(type)) return literal(type.ofType, value);
  if (Array.isArray(value))
    return `[${value.map((item) => literal(isListType(type) ? (type.ofType as GraphQLInputType) : undefined, item)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const named = type && getNamedType(type);
    const members = isInputObjectType(named) ? named.getFields() : {};
    return `{ ${Object.entries(value)
      .map(([name, member]) => `${name}: ${literal(members[name]?.type, member)}`)
      .join(', ')} }`;
  }
  const named = type && getNamedType(type);
  return isEnumType(named) && typeof value === 'string' ? value : JSON.stringify(value);
}

/** The value at a path. */
export function valueAt(target: unknown, path: Path): unknown {
  return path.reduce((value: unknown, name) => (value as Record<string | number, unknown> | undefined)?.[name], target);
}
