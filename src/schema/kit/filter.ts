import type { ArgBuilder, InputRef } from '@pothos/core';
import { GLOB_MAX_LENGTH, GLOB_MAX_STARS } from '../../domain/reading.ts';
import { ValidationError } from '../../errors.ts';
import { checkValue } from '../../fields/check.ts';
import { text } from '../../fields/field.ts';
import type { GraphQLContext, SchemaTypes } from './builder.ts';
import { parseId } from './global-id.ts';
import type { Reference } from './references.ts';

/** A filter of a list: its argument, and the condition on records that a value of it stands for. */
export interface ListFilter {
  readonly argument: (t: ArgBuilder<SchemaTypes>) => unknown;
  /** `name` is the argument's, for the paths of errors. @throws ValidationError */
  readonly condition: (value: never, context: GraphQLContext, name: string) => object | Promise<object>;
}

/** In a filter, an id that no record has. */
export const NOTHING = 'nothing';

/** Only records that belong to another one: `field` holds its id. One that does not exist has none. */
export function byReference<Ref extends string | { readonly id?: string }, Found extends { readonly id: string }>(
  reference: Reference<Ref, Found>,
  field: string,
  description: string,
): ListFilter {
  return {
    argument: (t) => t(reference.options({ required: false, description }) as never),
    async condition(ref: Ref, context) {
      const id = typeof ref === 'string' ? ref : ref.id;
      return { [field]: id ?? (await reference.find(context, ref))?.id ?? NOTHING };
    },
  };
}

/** Only records whose name, or what stands for it, matches a glob. */
export function byGlob(): ListFilter {
  return {
    argument: (t) =>
      t.string({
        description: `Only names that match: \`*\` is any text, \`?\` any one character. At most ${GLOB_MAX_LENGTH} characters and ${GLOB_MAX_STARS} stars. Case matters. Fast when it begins with a letter.`,
      }),
    condition: (glob: string, _context, name) => {
      const refuse = (message: string) => new ValidationError([{ path: [name], message }]);
      if (glob.length > GLOB_MAX_LENGTH) throw refuse(`must be at most ${GLOB_MAX_LENGTH} characters`);
      if (glob.split('*').length - 1 > GLOB_MAX_STARS) throw refuse(`must have at most ${GLOB_MAX_STARS} stars`);
      return glob === '' ? {} : { nameGlob: glob };
    },
  };
}

/** Text that is looked for: no longer than what an index can be asked for. */
const soughtText = text({ description: 'A text that is looked for.', minLength: 0, maxLength: 255, format: 'any' });

/** Only records for which the condition holds that is made of a text. */
export function byText(description: string, condition: (text: string) => object): ListFilter {
  return {
    argument: (t) => t.string({ description }),
    condition: (value: string, _context, name) => condition(checkValue(soughtText, value, [name])),
  };
}

/** Only records whose field is one of the enum's values that are given. */
export function byValues(values: InputRef<unknown>, field: string, description: string): ListFilter {
  return { argument: (t) => t({ type: [values], description } as never), condition: (chosen: readonly string[]) => ({ [field]: chosen }) };
}

/** Only records whose field is on, or off. */
export function byFlag(field: string, description: string): ListFilter {
  return { argument: (t) => t.boolean({ description }), condition: (value: boolean) => ({ [field]: value }) };
}

/** Only records whose field holds the id that a global id stands for, whatever its noun and whether it still exists. */
export function byGlobalId(description: string, field: string): ListFilter {
  return {
    argument: (t) => t.id({ description }),
    condition: (globalId: string) => ({ [field]: parseId(globalId)?.id ?? NOTHING }),
  };
}

/** Only records for which the condition holds that is made of a time. */
export function byTime(description: string, condition: (time: Date) => object): ListFilter {
  return { argument: (t) => t({ type: 'DateTime', description }), condition: (time: Date) => condition(time) };
}

/** What the filters that are given ask for together. @throws ValidationError */
export async function conditionsOf(
  filters: Readonly<Record<string, ListFilter>>,
  args: Readonly<Record<string, unknown>>,
  context: GraphQLContext,
): Promise<object> {
  const given = Object.entries(filters).filter(([name]) => args[name] !== null && args[name] !== undefined);
  const conditions = await Promise.all(given.map(([name, { condition }]) => condition(args[name] as never, context, name)));
  return Object.assign({}, ...conditions);
}
