import type { Field } from '../fields/field.ts';
import { assertConsistent } from './consistency.ts';
import type { CredentialKind } from './define.ts';
import { misfits } from './fit.ts';

/** The credential kinds of one gateway, by name. */
export interface KindRegistry {
  /** All kinds, in the order given. */
  readonly all: readonly CredentialKind[];
  /** The kinds that a stored credential can have: all but those that only come in. */
  readonly readable: readonly CredentialKind[];
  /** The names of the settings that credentials of a kind are found by, for each kind. */
  readonly searchable: ReadonlyMap<string, readonly string[]>;
  /** The kind of that name. Look it up once, and pass the kind on. */
  find(kind: string): CredentialKind | undefined;
  /** The kind of a credential that was read. @throws Error when there is none: credentials of unknown kinds are not read */
  of(credential: { readonly kind: string }): CredentialKind;
  /** The names of the settings of a credential that do not fit its kind any more. */
  misfits(credential: { readonly kind: string; readonly settings: Readonly<Record<string, unknown>> }): readonly string[];
  /**
   * Whether a setting can be null when it is read: when it is optional in any readable kind that has it, for fields of the same name have
   * the same type in all kinds. Lists and secrets never are: they are empty, or say `isSet: false`.
   *
   * @throws Error when no readable kind has such a field
   */
  isNullable(fieldName: string): boolean;
}

/**
 * Makes a registry of kinds: the built-in ones, and any of the caller's own.
 * @throws Error when two kinds could not stand in one schema
 */
export function createKindRegistry(kinds: readonly CredentialKind[]): KindRegistry {
  assertConsistent(kinds);
  const byName = new Map(kinds.map((kind) => [kind.kind, kind]));
  const readable = kinds.filter((kind) => !kind.storedAs);
  function of({ kind }: { readonly kind: string }): CredentialKind {
    const found = byName.get(kind);
    if (!found) throw new Error('A credential of an unknown kind was read.');
    return found;
  }
  return {
    all: kinds,
    readable,
    searchable: new Map(kinds.map(({ kind, fields }) => [kind, Object.keys(fields).filter((name) => isSearchable(fields[name]!))])),
    find: (kind) => byName.get(kind),
    of,
    misfits: (credential) => misfits(of(credential), credential.settings),
    isNullable(fieldName) {
      const fields = readable.flatMap((kind) => kind.fields[fieldName] ?? []);
      if (fields.length === 0) throw new Error(`No readable credential kind has a field ${fieldName}.`);
      return fields.some((field) => field.optional && !field.secret && field.type !== 'StringList');
    },
  };
}

function isSearchable(field: Field): boolean {
  return field.type === 'String' && !field.secret && field.searchable === true;
}
