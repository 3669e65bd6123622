import { type Doc, isDoc, toNumber, truthy, type Value } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';

export type Projection = (doc: Doc) => Doc;

/** The fields that a projection names: whole ones (true), or some fields inside. */
type Fields = Map<string, true | Fields>;

/** Compiles a projection that includes or excludes fields. What would compute a field is refused. */
export function parseProjection(projection: Doc): Projection {
  const fields: Fields = new Map();
  let including: boolean | undefined;
  let withId: boolean | undefined;
  for (const [path, value] of projection) {
    if (typeof value !== 'boolean' && toNumber(value) === undefined) throw unsupported(`a computed field ('${path}') in a projection`);
    if (path.includes('$')) throw unsupported(`'${path}' in a projection`);
    if (path === '_id') withId = truthy(value);
    else {
      including ??= truthy(value);
      if (including !== truthy(value)) throw mixed(path, including);
      insert(fields, path);
    }
  }
  including ??= withId ?? false;
  if (including === (withId ?? true)) fields.set('_id', true);
  return (doc) => (fields.size ? project(doc, fields, including) : doc);
}

function mixed(path: string, including: boolean): CommandError {
  const [here, there] = including ? ['exclusion', 'inclusion'] : ['inclusion', 'exclusion'];
  return new CommandError(including ? 31254 : 31253, `Cannot do ${here} on field ${path} in ${there} projection`);
}

function insert(fields: Fields, path: string): void {
  const parts = path.split('.');
  const last = parts.pop()!;
  for (const part of parts) {
    const inner = fields.get(part) ?? new Map();
    if (inner === true) throw new CommandError(31249, `Path collision at ${path}`);
    fields.set(part, inner);
    fields = inner;
  }
  if (fields.has(last)) throw new CommandError(31250, `Path collision at ${path}`);
  fields.set(last, true);
}

function project(doc: Doc, fields: Fields, including: boolean): Doc {
  const result: Doc = new Map();
  for (const [name, value] of doc) {
    const named = fields.get(name);
    const kept = named instanceof Map ? projectInside(value, named, including) : including === (named === true) ? value : undefined;
    if (kept !== undefined) result.set(name, kept);
  }
  return result;
}

/** An inclusion leaves out what has no fields, an exclusion keeps it. */
function projectInside(value: Value, fields: Fields, including: boolean): Value | undefined {
  if (isDoc(value)) return project(value, fields, including);
  if (!Array.isArray(value)) return including ? undefined : value;
  return value.map((element) => projectInside(element, fields, including)).filter((element) => element !== undefined);
}
