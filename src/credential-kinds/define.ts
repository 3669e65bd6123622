import type { Issue } from '../errors.ts';
import type { Fact } from './facts.ts';
import type { Field, ValueOf } from './fields.ts';

type Fields = Readonly<Record<string, Field>>;
type IsOptional<F> = F extends { readonly optional: true } ? true : false;
type IsForgotten<F extends Fields> = string extends keyof F ? true : false;
type Settings<F extends Fields> =
  IsForgotten<F> extends true
    ? Readonly<Record<string, unknown>>
    : { readonly [K in keyof F as F[K]['secret'] extends true ? never : K]?: ValueOf<F[K]> };
type Secrets<F extends Fields> =
  IsForgotten<F> extends true
    ? Readonly<Record<string, string>>
    : { readonly [K in keyof F as F[K]['secret'] extends true ? K : never]?: string };

/** What a front end sends to create a credential of this kind; `derive` and the tests are typed by it. */
export type CreateData<F extends Fields> = { readonly [K in keyof F as IsOptional<F[K]> extends true ? never : K]: ValueOf<F[K]> } & {
  readonly [K in keyof F as IsOptional<F[K]> extends true ? K : never]?: ValueOf<F[K]>;
};

/** The flag in the input of a kind with `generate` by which the server is asked to make the key itself. */
export const GENERATE = 'generatePrivateKey';

/** One write, as the functions of a descriptor see it. */
export interface Write<F extends Fields = Fields> {
  /** The settings as they will be stored: what was, overlaid with what is sent. */
  readonly settings: Settings<F>;
  /** The settings as they are stored now; undefined on create. */
  readonly before: Settings<F> | undefined;
  /** The plaintexts that this write sets. One that stays as it was is not here: deriving never needs to open anything. */
  readonly secrets: Secrets<F>;
  /** Whether each secret will be set after this write. */
  readonly isSet: { readonly [K in keyof Secrets<F>]-?: boolean };
  /** Whether the server is asked to make the secret of `generate`; `check` does not see it, `derive` does. */
  readonly generated: boolean;
  /** The facts as they were before this write, internal ones included; empty on create. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface Definition<F extends Fields> {
  /** Stored, and the key in inputs: `basicAuth`. */
  readonly kind: string;
  /** The GraphQL type: `BasicAuthCredential`. */
  readonly typeName: string;
  readonly description: string;
  readonly fields: F;
  /** Public facts computed from a write, such as a certificate's `notAfter`. */
  readonly facts?: Readonly<Record<string, Fact>>;
  /** Facts that are stored beside the public ones, and never shown, because a later `derive` needs them. Name, and what for. Not secret. */
  readonly internalFacts?: Readonly<Record<string, string>>;
  /** Computes facts, internal ones too. What it does not return stays as it was; null removes. */
  derive?(write: Write<F>): Record<string, unknown>;
  /** Rules that hold between fields, of the merged state. Paths are field names. Runs when every field by itself is right. */
  check?(write: Write<F>): Issue[];
  /** The server can make this secret itself, when the input says `generatePrivateKey: true`. */
  readonly generate?: { readonly field: string; make(): Promise<string> };
  /** The kind under which it is kept, when that is another: it only comes in, and is read back as that one. */
  readonly storedAs?: string;
}

/** A credential kind, with the types of its fields forgotten: what every layer works with. */
export interface CredentialKind extends Omit<Definition<Fields>, 'derive' | 'check'> {
  derive(write: Write): Record<string, unknown>;
  check(write: Write): Issue[];
}

/**
 * Defines a credential kind. Everything else (object type, inputs, stored form, validation, redaction, demo data, contract tests)
 * follows from the value this returns. What holds between several kinds is in `consistency.ts`.
 *
 * @throws Error when two parts of the definition contradict each other
 */
export function defineCredentialKind<const F extends Fields>(definition: Definition<F>): CredentialKind {
  const { kind, typeName, fields, facts = {}, internalFacts = {}, generate } = definition;
  const refuse = (why: string): never => {
    throw new Error(`Credential kind ${kind}: ${why}.`);
  };
  if (!/^[a-z][A-Za-z0-9]*$/.test(kind)) refuse('a kind is in camelCase');
  if (!/^[A-Z][A-Za-z0-9]*Credential$/.test(typeName)) refuse('a type name is PascalCase and ends in Credential');
  const names = [...Object.keys(fields), ...Object.keys(facts), ...Object.keys(internalFacts)];
  for (const name of names) if (names.indexOf(name) !== names.lastIndexOf(name)) refuse(`${name} is given twice, as field or fact`);
  if (generate && !fields[generate.field]?.secret) refuse('only a secret can be generated');
  // The one place where the exact types of a definition are given up; `derive` and `check` were typed by them above.
  return { derive: () => ({}), check: () => [], ...definition } as unknown as CredentialKind;
}
