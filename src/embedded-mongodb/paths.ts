import { type Doc, isDoc, type Value } from './bson.ts';
import { CommandError } from './errors.ts';
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

/** All values a path leads to, an array at its end also giving its elements: what `distinct` collects. */
export function valuesAt(doc: Doc, path: string): Value[] {
  const values: Value[] = [];
  someAt(doc, path.split('.'), (value) => {
    if (Array.isArray(value)) values.push(...value);
    else if (value !== undefined) values.push(value);
    return false;
  });
  return values;
}

interface Cursor {
  value: Value | undefined;
  rest: readonly string[];
}

/**
 * The combinations of values that an index has for a document, one per element where a path meets an array. `onArray` is told which
 * fields met one. Two different arrays in one index are refused, as by MongoDB.
 */
export function keyParts(doc: Doc, paths: readonly (readonly string[])[], onArray: (field: number) => void): KeyPart[][] {
  const combinations: KeyPart[][] = [];
  expand(
    paths.map((rest) => ({ value: doc, rest })),
    [],
    combinations,
    onArray,
  );
  return combinations;
}

function expand(cursors: Cursor[], done: boolean[], into: KeyPart[][], onArray: (field: number) => void): void {
  let array: Value[] | undefined;
  const fields: number[] = [];
  const here = cursors.map((cursor, i) => {
    if (done[i]) return cursor;
    const found = descend(cursor);
    if (Array.isArray(found.value)) {
      if (array && array !== found.value) throw new CommandError(171, 'cannot index parallel arrays');
      array = found.value;
      fields.push(i);
    }
    return found;
  });
  if (!array) {
    into.push(here.map((cursor) => cursor.value));
    return;
  }
  for (const i of fields) onArray(i);
  if (array.length === 0) {
    into.push(here.map((cursor, i) => (!fields.includes(i) ? cursor.value : cursor.rest.length ? undefined : (emptyArray as KeyPart))));
    return;
  }
  for (const element of array) {
    const finished = here.map((_, i) => done[i] === true);
    const next = here.map((cursor, i) => {
      if (!fields.includes(i)) return cursor;
      // An array inside an array is a value of its own; only documents are looked into.
      if (!cursor.rest.length || !isDoc(element)) finished[i] = true;
      return cursor.rest.length && !isDoc(element) ? { value: undefined, rest: [] } : { value: element, rest: cursor.rest };
    });
    expand(next, finished, into, onArray);
  }
}

/** Follows a path down to its end or to the first array. */
function descend(cursor: Cursor): Cursor {
  let { value, rest } = cursor;
  while (rest.length) {
    if (isDoc(value)) value = value.get(rest[0]!);
    else if (!Array.isArray(value)) return { value: undefined, rest: [] };
    else if (!isArrayIndex(rest[0]!)) return { value, rest };
    else {
      if (value.some((element) => isDoc(element) && element.has(rest[0]!))) {
        throw new CommandError(
          16746,
          `Ambiguous field name found in array (do not use numeric field names in embedded elements): '${rest[0]}'`,
        );
      }
      value = value[Number(rest[0])];
    }
    rest = rest.slice(1);
  }
  return { value, rest };
}
