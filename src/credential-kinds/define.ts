import type { Issue } from '../errors.ts';
import type { Field, Fields, ValueOf } from '../fields/field.ts';
import type { Redacted } from '../redacted.ts';
import type { Fact } from './facts.ts';

/** The types of field that a credential kind may have. */
type FieldTypes = 'String' | 'Choice' | 'StringList' | 'Int' | 'Boolean' | 'DateTime';
/** A field of a credential kind. Its examples are demo data, and what the contract tests send. */
export type KindField = Extract<Field, { type: FieldTypes }> & { readonly example: unknown; readonly invalidExample: unknown };
type KindFields = Readonly<Record<string, KindField>>;

type IsForgotten<F extends Fields> = string extends keyof F ? true : false;
type Settings<F extends Fields> =
  IsForgotten<F> extends true
    ? Readonly<Record<string, unknown>>
    : { readonly [K in keyof F as F[K]['secret'] extends true ? never : K]?: ValueOf<F[K]> };
type Secrets<F extends Fields> =
  IsForgotten<F> extends true
    ? Readonly<Record<string, Redacted>>
    : { readonly [K in keyof F as F[K]['secret'] extends true ? K : never]?: Redacted };

/** The flag in the input of a kind with `generate` by which the server is asked to make the key itself. */
export const GENERATE = 'generatePrivateKey';

/** One write, as the functions of a descriptor see it. */
export interface Write<F extends KindFields = KindFields> {
  /** The settings as they will be stored: what was, overlaid with what is sent. */
  readonly settings: Settings<F>;
  /** The settings as they are stored now; undefined on create. */
  readonly before: Settings<F> | undefined;
  /** The secrets that this write sets. One that stays as it was is not here: deriving never needs to open anything. */
  readonly secrets: Secrets<F>;
  /** Whether each secret will be set after this write. */
  readonly isSet: { readonly [K in keyof Secrets<F>]-?: boolean };
  /** Whether the server made the secret of `generate`, because the input asked for it. */
  readonly generated: boolean;
  /** The facts as they were before this write, internal ones included; empty on create. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface Definition<F extends KindFields> {
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
  readonly generate?: { readonly field: string; make(): Promise<Redacted> };
  /** The kind under which it is kept, when that is another: it only comes in, and is read back as that one. */
  readonly storedAs?: string;
}

/** A credential kind, with the types of its fields forgotten: what every layer works with. */
export interface CredentialKind extends Omit<Definition<KindFields>, 'derive' | 'check'> {
  derive(write: Write): Record<string, unknown>;
  check(write: Write): Issue[];
}

/**
 * Defines a credential kind. Everything else (object type, inputs, stored form, validation, redaction, demo data, contract tests)
 * follows from the value this returns. What holds between several kinds is in `consistency.ts`.
 *
 * @throws Error when two parts of the definition contradict each other
 */
export function defineCredentialKind<const F extends KindFields>(definition: Definition<F>): CredentialKind {
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
