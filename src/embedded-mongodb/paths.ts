import { type Doc, isDoc, type Value } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';
import { emptyArray, type KeyPart } from './keys.ts';

/** The names in a dotted path. Numbers are refused: they could name a field or a position in an array. */
export function partsOf(path: string): string[] {
  const parts = path.split('.');
  if (parts.some((part) => !part || part.startsWith('$') || /^\d+$/.test(part))) throw unsupported(`the path '${path}'`);
  return parts;
}

/** A path that names a field of the document itself. */
export function fieldOf(path: string): string {
  if (partsOf(path).length > 1) throw unsupported(`the path '${path}', of a field inside a field, here`);
  return path;
}

/**
 * Whether one of the values is wanted that a path leads to, through the documents of arrays. A path that ends early leads to undefined.
 * The elements of an array at the path's end are tried, too.
 */
export function someAt(doc: Doc, path: readonly string[], isWanted: (value: Value | undefined) => boolean, i = 0): boolean {
  const value = doc.get(path[i]!);
  if (i === path.length - 1) return isWanted(value) || (Array.isArray(value) && value.some(isWanted));
  if (isDoc(value)) return someAt(value, path, isWanted, i + 1);
  if (Array.isArray(value)) return value.some((element) => isDoc(element) && someAt(element, path, isWanted, i + 1));
  return isWanted(undefined);
}

/** All values a path leads to, an array at its end giving its elements: what `distinct` collects. */
export function valuesAt(doc: Doc, path: readonly string[]): Value[] {
  return indexed(doc, path).values.filter((value) => value !== undefined && value !== emptyArray);
}

/**
 * The combinations of values that an index has for a document: one, or, when a field meets an array, one for each of its elements.
 * `onArray` is told of that field. MongoDB refuses two such fields unless they lie in one array; here that is refused, too.
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
  // An array inside an array is a value of its own; only documents are looked into.
  const values = value.flatMap((element) => (isDoc(element) ? indexed(element, [name, ...rest]).values : [undefined]));
  return { values: values.length ? values : [undefined], isArray: true };
}
