import { type GraphQLInputType, type GraphQLResolveInfo, getNullableType, isInputObjectType, isListType } from 'graphql';
import type { Noun } from '../../access/scopes.ts';
import type { Path } from '../../errors.ts';
import { Redacted } from '../../redacted.ts';
import { decodeId } from './global-id.ts';

/** In the extensions of an input field, argument or input type: how its value is turned into what the domain takes. */
interface ReadExtensions {
  readonly read?: (value: never, path: Path) => unknown;
}

/** The extensions of an input field that holds the global id of a record: the domain gets the record's own id. */
export function readsId(noun: Noun) {
  return { read: (id: string, path: Path) => decodeId(noun, id, path) } satisfies ReadExtensions;
}

/** The extensions of an input field that holds a secret: from here on it is wrapped. */
export const readsSecret = { read: (plain: string) => new Redacted(plain) } satisfies ReadExtensions;

/**
 * What the domain takes in the place of an input's value: global ids are decoded and secrets wrapped, wherever in it. The value is coerced,
 * so it has the form of its type.
 *
 * @throws ValidationError when a global id is malformed, or of another noun
 */
export function readInput(type: GraphQLInputType, value: unknown, path: Path): unknown {
  if (value === null || value === undefined) return value;
  const nullable = getNullableType(type);
  if (isListType(nullable)) return (value as readonly unknown[]).map((item, index) => readInput(nullable.ofType, item, [...path, index]));
  if (!isInputObjectType(nullable)) return value;
  const fields = nullable.getFields();
  const members = Object.entries(value).map(([name, member]) => [name, readMember(fields[name]!, member, [...path, name])]);
  return read(nullable.extensions, Object.fromEntries(members), path);
}

/** The arguments of a field as the domain takes them. @throws ValidationError, as `readInput` */
export function readArguments<Args extends object>({ parentType, fieldName }: GraphQLResolveInfo, args: Args): Args {
  const declared = new Map(parentType.getFields()[fieldName]!.args.map((argument) => [argument.name, argument]));
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, readMember(declared.get(name)!, value, [name])])) as Args;
}

interface Member {
  readonly type: GraphQLInputType;
  readonly extensions: object;
}

function readMember({ type, extensions }: Member, value: unknown, path: Path): unknown {
  return read(extensions, readInput(type, value, path), path);
}

function read({ read: how }: ReadExtensions, value: unknown, path: Path): unknown {
  return how && value !== null && value !== undefined ? how(value as never, path) : value;
}
