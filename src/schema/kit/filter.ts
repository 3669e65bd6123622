import type { ArgBuilder, InputRef } from '@pothos/core';
import { GraphQLError } from 'graphql';
import { nounTable } from '../../access/nouns.ts';
import type { Scope } from '../../access/scopes.ts';
import { may } from '../../access/viewer.ts';
import { GLOB_MAX_LENGTH, GLOB_MAX_STARS } from '../../domain/reading.ts';
import { ForbiddenError, InvalidIntegrationError, NotFoundError, type Path, ValidationError } from '../../errors.ts';
import { checkValue } from '../../fields/check.ts';
import { text } from '../../fields/field.ts';
import type { GraphQLContext, SchemaTypes } from './builder.ts';
import type { Cost } from './cost.ts';
import { parseId } from './global-id.ts';
import { checkSought, NOTHING } from './input.ts';
import type { Reference } from './references.ts';

/** A filter of a list: its argument, and the condition on records that follows from a value of the argument. */
export interface ListFilter {
  /** A scope that the filter needs, because it tells what only this scope may read. */
  readonly scope?: Scope;
  /** Whether it names a record, so that the list has no answer if there is none. */
  readonly namesRecord?: true;
  /** What a list with this filter costs more, because it needs more than the lists of other filters. */
  readonly cost?: number;
  readonly argument: (t: ArgBuilder<SchemaTypes>) => unknown;
  /** `name` is the name of the argument, for the paths of errors. @throws ValidationError, InvalidIntegrationError, NotFoundError */
  readonly condition: (value: never, context: GraphQLContext, name: string) => object | Promise<object>;
}

/**
 * Selects records that belong to the given record; `field` holds its id. An empty page would look as if the record existed. So if it does not, or
 * the viewer may not see it, the page is null and the error says so, with the same code as in a mutation.
 */
export function byReference<Ref extends string | { readonly id?: string }, Found extends { readonly id: string }>(
  reference: Reference<Ref, Found>,
  field: string,
  description: string,
): ListFilter {
  const { noun } = reference;
  return {
    namesRecord: true,
    argument: (t) => t(reference.options({ required: false, description }) as never),
    async condition(ref: Ref, context, name) {
      const found = await reference.find(context, ref);
      if (found) return { [field]: found.id };
      const originalError = noun === 'integration' ? new InvalidIntegrationError([name]) : new NotFoundError(nounTable[noun].label, [name]);
      // graphql-js takes an error with a `path` for one that has its place in the response already.
      throw new GraphQLError(originalError.message, { originalError });
    },
  };
}

/** Selects records that belong to one of the given records; `field` holds its id. Each must exist. */
export function byReferences<Ref extends string | { readonly id?: string }, Found extends { readonly id: string }>(
  reference: Reference<Ref, Found>,
  field: string,
  description: string,
): ListFilter {
  const one = byReference(reference, field, description);
  return {
    namesRecord: true,
    argument: (t) => {
      const { type, ...options } = reference.options({ required: false, description }) as unknown as { readonly type: never };
      return t({ ...options, type: [type] } as never);
    },
    async condition(refs: readonly Ref[], context, name) {
      if (refs.length > REFERENCES_MAX) {
        throw new ValidationError([{ path: [name], message: `must have at most ${REFERENCES_MAX} items` }]);
      }
      const found = await Promise.all(refs.map((ref) => one.condition(ref as never, context, name)));
      return { [field]: found.map((each) => (each as Readonly<Record<string, string>>)[field]!) };
    },
  };
}

/** The maximum number of records that a filter can name. */
const REFERENCES_MAX = 50;

/** No name has control characters. The database does not accept NUL in a pattern. Names are compared in normalization form C. */
const soughtGlob = text({ description: 'A glob.', minLength: 0, maxLength: GLOB_MAX_LENGTH, format: 'glob', comparedOnly: true });

/** Selects records whose name (or display name) matches a glob. */
export function byGlob(): ListFilter {
  return {
    argument: (t) =>
      t.string({
        description: `Only names that match. \`*\` matches any text, \`?\` any single character. Case-sensitive. At most ${GLOB_MAX_LENGTH} characters and ${GLOB_MAX_STARS} stars. An index finds names that begin with a text, such as \`crm*\`; a few of them in any order.`,
      }),
    condition: (value: string, _context, name) => {
      const glob = checkGlob(value, [name]);
      return glob === '' ? {} : { nameGlob: glob };
    },
  };
}

/** @throws ValidationError */
function checkGlob(value: string, path: Path): string {
  const glob = checkValue(soughtGlob, value, path);
  if (glob.split('*').length - 1 > GLOB_MAX_STARS) {
    throw new ValidationError([{ path, message: `must have at most ${GLOB_MAX_STARS} stars` }]);
  }
  return glob;
}

/** Selects records of which the id or one of some texts, named by `what`, matches a glob, without regard to case. */
export function bySearch(what: string): ListFilter {
  return {
    argument: (t) =>
      t.string({
        description: `Only records whose id or ${what} matches. \`*\` matches any text, \`?\` any single character. Not case-sensitive. At most ${GLOB_MAX_LENGTH} characters and ${GLOB_MAX_STARS} stars. An index finds a whole text, and texts that begin with at least three characters, such as \`acm*\`, a few of them in any order.`,
      }),
    condition: (value: string, _context, name) => {
      const glob = checkGlob(value, [name]);
      return glob === '' ? {} : { search: parseId(glob)?.id ?? glob };
    },
  };
}

/** Selects records whose setting matches a glob, without regard to case. `type` is an input with the members `name`, one of `names`, and `value`. */
export function bySetting(type: InputRef<unknown>, names: ReadonlySet<string>, description: string): ListFilter {
  return {
    argument: (t) => t({ type, description }),
    condition: ({ name, value }: { readonly name: string; readonly value: string }, _context, argument) => {
      if (!names.has(name)) {
        throw new ValidationError([{ path: [argument, 'name'], message: 'must be a field that `credentialKinds` shows as searchable' }]);
      }
      return { setting: { name, value: checkGlob(value, [argument, 'value']) } };
    },
  };
}

/** Selects records by a condition that is created from a text. */
export function byText(description: string, condition: (text: string) => object): ListFilter {
  return {
    argument: (t) => t.string({ description }),
    condition: (value: string, _context, name) => condition(checkSought(value, [name])),
  };
}

/** Selects records whose field is one of the given enum values. */
export function byValues(values: InputRef<unknown>, field: string, description: string): ListFilter {
  return { argument: (t) => t({ type: [values], description }), condition: (chosen: readonly string[]) => ({ [field]: chosen }) };
}

/** Selects records whose field is the given enum value. */
export function byValue(values: InputRef<unknown>, field: string, description: string): ListFilter {
  return { argument: (t) => t({ type: values, description }), condition: (chosen: string) => ({ [field]: chosen }) };
}

/**
 * The same for an enum with the value `OTHER`, for what only another version of the gateway knows. No index finds that, so it is refused. The enum is asked
 * for when the argument is made.
 */
export function byKnownValue(values: () => InputRef<unknown>, field: string, description: string): ListFilter {
  return {
    argument: (t) => t({ type: values(), description }),
    condition(chosen: string, _context, name) {
      if (chosen === 'OTHER')
        throw new ValidationError([{ path: [name], message: `must not be OTHER, which is no ${field} to filter by` }]);
      return { [field]: chosen };
    },
  };
}

/** Selects records whose boolean field has the given value. */
export function byFlag(field: string, description: string): ListFilter {
  return { argument: (t) => t.boolean({ description }), condition: (value: boolean) => ({ [field]: value }) };
}

/** Selects records whose field holds the id in a global id. The object can be of any noun, and need not exist any more. */
export function byGlobalId(description: string, field: string): ListFilter {
  return {
    argument: (t) => t.id({ description }),
    condition: (globalId: string) => ({ [field]: parseId(globalId)?.id ?? NOTHING }),
  };
}

/** Selects records by a condition that is created from a time. */
export function byTime(description: string, condition: (time: Date) => object): ListFilter {
  return { argument: (t) => t({ type: 'DateTime', description }), condition: (time: Date) => condition(time) };
}

/** Returns the cost of a list with these filters: that of its page, and what its filters cost more. */
export function costOfList(filters: Readonly<Record<string, ListFilter>>): Cost {
  const dear = Object.entries(filters).flatMap(([name, { cost }]) => (cost === undefined ? [] : [[name, cost] as const]));
  return dear.length === 0 ? {} : { own: (args) => dear.reduce((sum, [name, cost]) => sum + (args[name] == null ? 0 : cost), 1) };
}

/** Returns the combined condition of all given filters. @throws ValidationError, ForbiddenError */
export async function conditionsOf(
  filters: Readonly<Record<string, ListFilter>>,
  args: Readonly<Record<string, unknown>>,
  context: GraphQLContext,
): Promise<object> {
  const given = Object.entries(filters).filter(([name]) => args[name] !== null && args[name] !== undefined);
  const missing = given.find(([, { scope }]) => scope !== undefined && !may(context.viewer, scope));
  if (missing) throw new ForbiddenError(missing[1].scope!);
  const conditions = await Promise.all(given.map(([name, { condition }]) => condition(args[name] as never, context, name)));
  for (const [at, condition] of conditions.entries()) {
    const other = conditions.findIndex((each, before) => before < at && Object.keys(each).some((member) => member in condition));
    if (other >= 0) throw new ValidationError([{ path: [given[at]![0]], message: `must not be used together with ${given[other]![0]}` }]);
  }
  return Object.assign({}, ...conditions);
}
