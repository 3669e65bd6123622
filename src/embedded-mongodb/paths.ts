import { type Doc, isDoc, type Value } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';
import { emptyArray, type KeyPart } from './keys.ts';

export const isArrayIndex = (part: string) => /^(0|[1-9]\d*)$/.test(part);

/** Told a value, and whether it is the element at a position that the path names: the elements of such an array are not tried. */
type Visit = (value: Value | undefined, isElement: boolean) => boolean;

/**
 * Visits what a dotted path leads to, through arrays as MongoDB's queries do: a name applies to every document of an array, a number
 * also to the element of that position. A path that ends early visits undefined. Stops at the first visit that returns true.
 */
export function someAt(doc: Doc, path: readonly string[], visit: Visit, i = 0): boolean {
  const value = doc.get(path[i]!);
  if (i === path.length - 1) return visit(value, false);
  if (isDoc(value)) return someAt(value, path, visit, i + 1);
  if (Array.isArray(value)) return someInArray(value, path, visit, i + 1);
  return visit(undefined, false);
}

function someInArray(array: Value[], path: readonly string[], visit: Visit, i: number): boolean {
  for (const element of array) if (isDoc(element) && someAt(element, path, visit, i)) return true;
  if (!isArrayIndex(path[i]!)) return false;
  const element = array[Number(path[i])];
  if (element === undefined) return false;
  if (i === path.length - 1) return visit(element, true);
  if (isDoc(element)) return someAt(element, path, visit, i + 1);
  return Array.isArray(element) && someInArray(element, path, visit, i + 1);
}

/** All values a path leads to, an array at its end giving its elements: what `distinct` collects. */
export function valuesAt(doc: Doc, path: string): Value[] {
  const values: Value[] = [];
  someAt(doc, path.split('.'), (value) => {
    if (value !== undefined) values.push(...(Array.isArray(value) ? value : [value]));
    return false;
  });
  return values;
}

/**
 * The combinations of values that an index has for a document: one, or, when a field meets an array, one for each of its elements.
 * `onArray` is told of that field. MongoDB refuses two such fields unless they lie in one array; here that is refused, too.
 */
export function keyParts(doc: Doc, paths: readonly (readonly string[])[], onArray?: (field: number) => void): KeyPart[][] {
  let combinations: KeyPart[][] = [[]];
  const arrays: string[] = [];
  for (const [i, path] of paths.entries()) {
    const { values, array } = indexed(doc, path);
    if (array) {
      if (arrays.includes(path[0]!)) throw unsupported('an index or a sort with two fields in one array');
      if (arrays.length) throw new CommandError(171, 'cannot index parallel arrays');
      arrays.push(path[0]!);
      onArray?.(i);
    }
    combinations = combinations.flatMap((parts) => values.map((value) => [...parts, value]));
  }
  return combinations;
}

function indexed(value: Value | undefined, [name, ...rest]: readonly string[]): { values: KeyPart[]; array: boolean } {
  if (name === undefined) {
    if (!Array.isArray(value)) return { values: [value], array: false };
    return { values: value.length ? value : [emptyArray], array: true };
  }
  if (isDoc(value)) return indexed(value.get(name), rest);
  if (!Array.isArray(value)) return { values: [undefined], array: false };
  // An array inside an array is a value of its own; only documents are looked into.
  const values = value.flatMap((element) => (isDoc(element) ? indexed(element, [name, ...rest]).values : [undefined]));
  return { values: values.length ? values : [undefined], array: true };
}
