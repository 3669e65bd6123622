import { type Doc, isDoc, type Value } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';
import { emptyArray, type KeyPart } from './keys.ts';

/** Splits a dotted path into names. Rejects numbers, which could be the name of a field or a position in an array. */
export function partsOf(path: string): string[] {
  const parts = path.split('.');
  if (parts.some((part) => !part || part.startsWith('$') || /^\d+$/.test(part))) throw unsupported(`the path '${path}'`);
  return parts;
}

/** Returns the name of a top-level field. Rejects dotted paths. */
export function fieldOf(path: string): string {
  if (partsOf(path).length > 1) throw unsupported(`the dotted path '${path}' in this place`);
  return path;
}

/**
 * Returns whether any value at a path satisfies a condition. The path continues through documents in arrays. If it ends early, the value is
 * undefined. If the value is an array, its elements are also tried.
 */
export function someAt(doc: Doc, path: readonly string[], isWanted: (value: Value | undefined) => boolean, i = 0): boolean {
  const value = doc.get(path[i]!);
  if (i === path.length - 1) return isWanted(value) || (Array.isArray(value) && value.some(isWanted));
  if (isDoc(value)) return someAt(value, path, isWanted, i + 1);
  if (Array.isArray(value)) return value.some((element) => isDoc(element) && someAt(element, path, isWanted, i + 1));
  return isWanted(undefined);
}

/** Returns all values at a path, for `distinct`. If a value is an array, its elements are returned. */
export function valuesAt(doc: Doc, path: readonly string[]): Value[] {
  return indexed(doc, path).values.filter((value) => value !== undefined && value !== emptyArray);
}

/**
 * Returns the combinations of values of a document in an index: one, or one for each element if there is an array on the path of a field.
 * `onArray` is called for that field. MongoDB allows two such fields only in the same array; this server does not allow that either.
 */
export function keyParts(doc: Doc, paths: readonly (readonly string[])[], onArray?: (field: number) => void): KeyPart[][] {
  let combinations: KeyPart[][] = [[]];
  let arrayName: string | undefined;
  for (const [i, path] of paths.entries()) {
    const { values, isArray } = indexed(doc, path);
    if (isArray) {
      if (arrayName === path[0]) throw unsupported('an index or a sort with two fields in one array');
      if (arrayName !== undefined) throw new CommandError(171, 'cannot index parallel arrays');
      arrayName = path[0]!;
      onArray?.(i);
    }
    combinations = combinations.flatMap((parts) => values.map((value) => [...parts, value]));
  }
  return combinations;
}

function indexed(value: Value | undefined, [name, ...rest]: readonly string[]): { values: KeyPart[]; isArray: boolean } {
  if (name === undefined) {
    if (!Array.isArray(value)) return { values: [value], isArray: false };
    return { values: value.length ? value : [emptyArray], isArray: true };
  }
  if (isDoc(value)) return indexed(value.get(name), rest);
  if (!Array.isArray(value)) return { values: [undefined], isArray: false };
  // An array in an array is a value; paths continue only through documents.
  const values = value.flatMap((element) => (isDoc(element) ? indexed(element, [name, ...rest]).values : [undefined]));
  return { values: values.length ? values : [undefined], isArray: true };
}
