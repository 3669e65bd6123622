import type { CredentialKind, KindField } from './define.ts';
import type { FactScalar } from './facts.ts';

/** The largest and the smallest number of GraphQL's type Int (GraphQL specification, section 3.5.1). */
const INT_MAX = 2 ** 31 - 1;

/**
 * Returns the names of the fields whose stored settings do not fit the kind, in the order of its fields. That is so only if the definition of the kind was
 * changed after a credential was stored: a value was taken out of `choices`, a field became required or secret, or has another type. Formats and
 * lengths do not count: they may become stricter for what is written from now on, and what was valid before is shown and used.
 */
export function misfits(kind: CredentialKind, settings: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(kind.fields).flatMap(([name, field]) => (fits(field, settings[name]) ? [] : [name]));
}

/** Returns the stored settings that fit the kind: what functions of the kind can rely on. */
export function fitting(kind: CredentialKind, settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const wrong = misfits(kind, settings);
  return Object.fromEntries(Object.entries(settings).filter(([name]) => Object.hasOwn(kind.fields, name) && !wrong.includes(name)));
}

function fits(field: KindField, value: unknown): boolean {
  // A text that was not secret is in the database as it is. It must not be taken for the secret, which is not set.
  if (field.secret) return value === undefined || value === null;
  // Every list can be empty.
  if (value === undefined || value === null) return field.optional === true || field.type === 'StringList';
  switch (field.type) {
    case 'Choice':
      return typeof value === 'string' && Object.hasOwn(field.choices.values, value);
    case 'StringList':
      return Array.isArray(value) && value.every((each) => typeof each === 'string');
    case 'Int':
      return Number.isInteger(value) && Math.abs(value as number) <= INT_MAX;
    case 'Boolean':
      return typeof value === 'boolean';
    case 'DateTime':
      return value instanceof Date && !Number.isNaN(value.getTime());
    case 'String':
      return typeof value === 'string';
  }
}

/** Returns the stored value of a fact, or null if it is not of the type that the fact has now. */
export function factOf(type: FactScalar, value: unknown): unknown {
  const isOfType = type === 'DateTime' ? value instanceof Date && !Number.isNaN(value.getTime()) : typeof value === type.toLowerCase();
  return isOfType ? value : null;
}
