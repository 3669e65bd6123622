import { type GraphQLInputType, type GraphQLResolveInfo, getNullableType, isInputObjectType, isListType } from 'graphql';
import type { Noun } from '../../access/scopes.ts';
import { type Issue, type Path, ValidationError } from '../../errors.ts';
import { checkValue } from '../../fields/check.ts';
import { text } from '../../fields/field.ts';
import { Redacted } from '../../redacted.ts';
import { decodeId } from './global-id.ts';

/** Extensions of an input field, argument or input type: `read` converts its value for the domain. */
interface ReadExtensions {
  readonly read?: (value: never, path: Path) => unknown;
}

/** Returns the extensions of an input field for a global id. The domain gets the record's id. */
export function readsId(noun: Noun) {
  return { read: (id: string, path: Path) => decodeId(noun, id, path) } satisfies ReadExtensions;
}

/** The extensions of an input field for a secret. The domain gets it wrapped in `Redacted`. */
export const readsSecret = { read: (plain: string) => new Redacted(plain) } satisfies ReadExtensions;

/** A text to search for. It is not longer than indexed values are. */
const soughtText = text({ description: 'A text to search for.', minLength: 0, maxLength: 255, format: 'any', comparedOnly: true });

/** Checks a text to search for. @throws ValidationError */
export function checkSought(value: string, path: Path): string {
  return checkValue(soughtText, value, path);
}

/** An id that no record has. It stands for a malformed one. */
export const NOTHING = 'nothing';

/**
 * Converts the input of a mutation for the domain, as `readInput` does, and also returns the ids that are malformed or of another noun, so that
 * the domain can report them together with everything else that is wrong.
 */
export function examineInput(type: GraphQLInputType, value: unknown): { readonly input: unknown; readonly malformed: readonly Issue[] } {
  const malformed: Issue[] = [];
  const input = readInput(type, value, [], (issues) => {
    malformed.push(...issues);
    return NOTHING;
  });
  return { input, malformed };
}

/** Returns what stands for a malformed value, or throws. */
type OnMalformed = (issues: readonly Issue[]) => unknown;

function refuseMalformed(issues: readonly Issue[]): never {
  throw new ValidationError(issues);
}

/**
 * Converts an input value for the domain: decodes global ids and wraps secrets at any depth. The value must be coerced, so that it matches
 * its type.
 *
 * @throws ValidationError when a global id is malformed, or of another noun
 */
function readInput(type: GraphQLInputType, value: unknown, path: Path, onMalformed: OnMalformed = refuseMalformed): unknown {
  if (value === null || value === undefined) return value;
  const nullable = getNullableType(type);
  if (isListType(nullable))
    return (value as readonly unknown[]).map((item, index) => readInput(nullable.ofType, item, [...path, index], onMalformed));
  if (!isInputObjectType(nullable)) return value;
  const fields = nullable.getFields();
  const members = Object.entries(value).map(([name, member]) => [name, readMember(fields[name]!, member, [...path, name], onMalformed)]);
  return read(nullable.extensions, Object.fromEntries(members), path, onMalformed);
}

/** Converts the arguments of a field for the domain. @throws ValidationError, as `readInput` */
export function readArguments<Args extends object>({ parentType, fieldName }: GraphQLResolveInfo, args: Args): Args {
  const declared = new Map(parentType.getFields()[fieldName]!.args.map((argument) => [argument.name, argument]));
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, readMember(declared.get(name)!, value, [name])])) as Args;
}

interface Member {
  readonly type: GraphQLInputType;
  readonly extensions: object;
}

function readMember({ type, extensions }: Member, value: unknown, path: Path, onMalformed?: OnMalformed): unknown {
  return read(extensions, readInput(type, value, path, onMalformed), path, onMalformed);
}

function read({ read: how }: ReadExtensions, value: unknown, path: Path, onMalformed: OnMalformed = refuseMalformed): unknown {
  if (!how || value === null || value === undefined) return value;
  try {
    return how(value as never, path);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    return onMalformed(error.issues);
  }
}
