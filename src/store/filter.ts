import type { Requirement } from './access-paths.ts';
import { both, type Conditions, type Extent } from './extent.ts';
import type { Fields } from './fields.ts';
import { globCondition, globParts } from './glob.ts';
import { type KeyCondition, keyConditions, type LookupFilter, lookupMembers } from './lookup.ts';
import type { BaseRecord, Document } from './record.ts';

/**
 * What a filter of a list means, in each form in which it is needed: as conditions of a query, as requirements that are compared with the indexes,
 * and as a function of a record.
 */

/**
 * Selects records whose fields equal the given values and whose name matches the glob. If the given value is a list, one of its items must
 * match. If the field is a list, it must contain a match. No value may be undefined.
 */
export type Filter<R extends BaseRecord> = {
  readonly [K in keyof R]?: NonNullable<R[K]> extends readonly (infer Item)[] ? Item | readonly Item[] : R[K] | readonly R[K][];
} & {
  readonly nameGlob?: string;
  /** Inclusive. */
  readonly createdSince?: Date;
  /** Exclusive. */
  readonly createdBefore?: Date;
  /** The record has a time `lastUsedAt` that is earlier, or none. */
  readonly unusedSince?: Date;
  /** Exclusive. */
  readonly runsOutBefore?: Date;
} & LookupFilter;

/** The members of a filter that do not compare a field with a value. */
const notEqualities: ReadonlySet<string> = new Set([
  'nameGlob',
  'createdSince',
  'createdBefore',
  'unusedSince',
  'runsOutBefore',
  ...lookupMembers,
]);

/** Returns the members of a filter that compare a field with a value. */
function equalitiesOf(filter: object): [string, unknown][] {
  return Object.entries(filter).filter(([name]) => !notEqualities.has(name));
}

export function conditionsOf(filter: object, fields: Fields, nameField: string): Conditions {
  const { nameGlob, createdSince, createdBefore, unusedSince, runsOutBefore, ...rest } = filter as Filter<BaseRecord>;
  const conditions: Record<string, unknown> = {};
  for (const [field, value] of equalitiesOf(filter)) {
    if (field !== 'id' && !(field in fields)) throw new TypeError(`A filter compares ${field}, which is no field.`);
    // A condition that is missing would find everything, and an object would be an operator.
    if (![value].flat().every(isPlain)) throw new TypeError(`A filter compares ${field} with a value that no field has.`);
    conditions[field === 'id' ? '_id' : field] = Array.isArray(value) ? { $in: value } : value;
  }
  if (createdSince || createdBefore) {
    conditions.createdAt = { ...(createdSince && { $gte: createdSince }), ...(createdBefore && { $lt: createdBefore }) };
  }
  if (runsOutBefore) conditions.runsOutAt = { $lt: runsOutBefore };
  const others: Conditions[] = [
    ...(nameGlob === undefined ? [] : [{ [nameField]: globCondition(nameGlob) }]),
    ...(unusedSince ? [{ lastUsedAt: notSince(unusedSince) }] : []),
    ...keyConditions(rest).map((each) => ({ lookupKeys: conditionOn(each) })),
  ];
  return others.reduce(both, conditions as Conditions);
}

/** Whether a value may stand in a filter as it is. */
function isPlain(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value) || value instanceof Date;
}

/** Returns the condition that a time is earlier, or that there is none. */
function notSince(time: Date): object {
  return { $not: { $gte: time } };
}

/** Returns a condition on the keys as in a query. */
function conditionOn(condition: KeyCondition): unknown {
  if ('pattern' in condition) return condition.pattern;
  return condition.keys.length === 1 ? condition.keys[0] : { $in: condition.keys };
}

/**
 * Returns what a filter requires within an extent, field by field.
 * @throws TypeError when it compares a field with a value that no field has
 */
export function requirementsOf({ organizationId, confines }: Extent, filter: object, nameField: string): Requirement[] {
  const { nameGlob, createdSince, createdBefore, unusedSince, runsOutBefore, ...rest } = filter as Filter<BaseRecord>;
  const values = new Map<string, readonly unknown[]>();
  const require = (field: string, wanted: readonly unknown[]) => {
    const already = values.get(field);
    values.set(field, already ? already.filter((value) => wanted.includes(value)) : [...new Set(wanted)]);
  };
  require('organizationId', [organizationId]);
  for (const [field, value] of Object.entries(confines === 'nothing' ? {} : confines)) require(field === 'id' ? '_id' : field, [value]);
  if (confines === 'nothing') require('_id', []);
  for (const [field, value] of equalitiesOf(filter)) require(field === 'id' ? '_id' : field, [value].flat());
  // Each end user and each credential belongs to one integration, and a viewer that is limited to one finds only those that belong to it.
  const isLimited = confines !== 'nothing' && confines.integrationId !== undefined;
  const isInOne = isLimited && (values.has('endUserId') || values.has('credentialIds'));
  const requirements = [...values].map(([field, wanted]): Requirement => {
    const condition = wanted.length === 1 ? wanted[0] : { $in: wanted };
    return { field, condition, form: 'values', size: wanted.length, isImplied: field === 'integrationId' && isInOne };
  });
  if (createdSince || createdBefore) {
    const condition = { ...(createdSince && { $gte: createdSince }), ...(createdBefore && { $lt: createdBefore }) };
    requirements.push({ field: 'createdAt', condition, form: 'range' });
  }
  if (runsOutBefore) requirements.push({ field: 'runsOutAt', condition: { $lt: runsOutBefore }, form: 'range' });
  if (nameGlob !== undefined) {
    const { name, range, pattern, isPrefix } = globParts(nameGlob);
    if (name !== undefined) requirements.push({ field: nameField, condition: name, form: 'values', size: 1 });
    if (range) requirements.push({ field: nameField, condition: range, form: 'range' });
    // The range says it all.
    if (pattern && !isPrefix) requirements.push({ field: nameField, condition: pattern, form: 'other' });
  }
  if (unusedSince) requirements.push({ field: 'lastUsedAt', condition: notSince(unusedSince), form: 'other' });
  for (const each of keyConditions(rest)) {
    const form = 'pattern' in each ? 'other' : 'values';
    // Databases do not merge several key ranges of a list in order.
    const size = 'keys' in each && each.keys.length > 1 ? Number.POSITIVE_INFINITY : 1;
    requirements.push({ field: 'lookupKeys', condition: conditionOn(each), form, size });
  }
  return requirements;
}

/** Returns a function that returns whether a record has the values that a filter asks for. Globs and times are left to the database. */
export function matcherOf(filter: object): (record: BaseRecord) => boolean {
  const tests = equalitiesOf(filter).map(([field, wanted]): [string, (value: unknown) => boolean] => {
    if (!Array.isArray(wanted)) return [field, (value) => isSame(value, wanted)];
    const values = new Set<unknown>(wanted);
    return [field, (value) => values.has(value) || (value instanceof Date && wanted.some((each) => isSame(value, each)))];
  });
  return (record) =>
    tests.every(([field, isWanted]) => {
      const value = (record as unknown as Document)[field] ?? null;
      return Array.isArray(value) ? value.some(isWanted) : isWanted(value);
    });
}

/** Returns the field whose text is the only difference between filters. Null if they differ in more, or do not differ. */
export function differingField(filters: readonly Document[]): string | null {
  const [first, ...others] = filters;
  if (!first || others.length === 0) return null;
  const names = Object.keys(first);
  let differing: string | null = null;
  for (const filter of others) {
    if (Object.keys(filter).length !== names.length) return null;
    for (const name of names) {
      if (isSame(filter[name], first[name])) continue;
      if (typeof filter[name] !== 'string' || (differing ?? name) !== name) return null;
      differing = name;
    }
  }
  return differing !== null && typeof first[differing] === 'string' && !notEqualities.has(differing) ? differing : null;
}

export function isSame(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b;
}
