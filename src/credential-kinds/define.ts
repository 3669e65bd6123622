import type { Issue } from '../errors.ts';
import type { Field, Fields, ValueOf } from '../fields/field.ts';
import type { KeyFiles } from '../key-files/index.ts';
import type { Redacted } from '../redacted.ts';
import { type Apply, allTemplates, fieldsOf } from './apply.ts';
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

/** The input flag that asks the server to generate the key. Only kinds with `generate` have it. */
export const GENERATE = 'generatePrivateKey';

/** The GraphQL type of altered credentials. Nothing proves the data of their kind, so it has only the fields that all kinds have. No kind may have it. */
export const ALTERED_CREDENTIAL = 'AlteredCredential';
/** The GraphQL type of credentials whose stored settings do not fit their kind any more: see `fit.ts`. No kind may have it. */
export const OUTDATED_CREDENTIAL = 'OutdatedCredential';

/** One create or update, as `check` and `derive` receive it. */
export interface Write<F extends KindFields = KindFields> {
  /** The settings as they will be stored: the stored settings, overwritten by those in the input. */
  readonly settings: Settings<F>;
  /** The settings that are stored now. Undefined on create. */
  readonly before: Settings<F> | undefined;
  /** The secrets that this write sets. Secrets that do not change are absent, so `derive` never needs to open a secret. */
  readonly secrets: Secrets<F>;
  /** Whether each secret will be set after this write. */
  readonly isSet: { readonly [K in keyof Secrets<F>]-?: boolean };
  /** Whether the server generated the secret that `generate` names, because the input asked for it. */
  readonly generated: boolean;
  /** The facts before this write, including internal facts. Empty on create. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface Definition<F extends KindFields> {
  /** The name that is stored, also the key in inputs, such as `basicAuth`. */
  readonly kind: string;
  /** The GraphQL type, such as `BasicAuthCredential`. */
  readonly typeName: string;
  readonly description: string;
  readonly fields: F;
  /** Public facts computed from a write, such as a certificate's `notAfter`. */
  readonly facts?: Readonly<Record<string, Fact>>;
  /** Facts that are stored for a later `derive` but never shown. Maps each name to its purpose. Not secret. */
  readonly internalFacts?: Readonly<Record<string, string>>;
  /** Computes facts, including internal facts. A fact that it does not return keeps its value; null removes a fact. */
  derive?(write: Write<F>, keyFiles: KeyFiles): Record<string, unknown> | Promise<Record<string, unknown>>;
  /**
   * Checks rules between fields, on the merged state. Paths are field names. A field that breaks its own rule is absent from `settings` and
   * `secrets`, and what is returned about it is left out.
   */
  check?(write: Write<F>, keyFiles: KeyFiles): Issue[] | Promise<Issue[]>;
  /**
   * The settings that decide who receives the secrets, such as a host. An update that gives one of them another value must also set or clear
   * every secret: otherwise who knows no secret could send a stored one to a host of its own. Clearing one restores a default and needs none.
   */
  readonly destinations?: readonly (keyof F & string)[];
  /** How its credentials are applied to requests. If absent, they are not for requests. */
  readonly apply?: Apply;
  /**
   * Whether `check` or `derive` reads key files in fields whose format is another than a key's or certificate's. What is read is then read
   * before the transaction, and no transaction waits for it.
   */
  readonly readsKeyFiles?: true;
  /** Lets the server generate this secret, when the input has `generatePrivateKey: true`. */
  readonly generate?: { readonly field: string; make(keyFiles: KeyFiles): Promise<Redacted> };
  /** The kind under which such a credential is stored and returned, if it is another kind. This kind is then for input only. */
  readonly storedAs?: string;
  /**
   * Why nobody can store a credential of this kind at present. It is the end of an error message. Its input is checked, and then refused with
   * this message: a secret that nothing can use or show must not be swallowed.
   */
  readonly refusal?: string;
}

/** A credential kind without the exact types of its fields. All layers use this type. */
export interface CredentialKind extends Omit<Definition<KindFields>, 'derive' | 'check'> {
  derive(write: Write, keyFiles: KeyFiles): Record<string, unknown> | Promise<Record<string, unknown>>;
  check(write: Write, keyFiles: KeyFiles): Issue[] | Promise<Issue[]>;
}

/**
 * Defines a credential kind. Everything else (object type, inputs, stored form, validation, redaction, demo data, contract tests)
 * is derived from the returned value. Rules between kinds are in `consistency.ts`.
 *
 * @throws Error when two parts of the definition contradict each other
 */
export function defineCredentialKind<const F extends KindFields>(definition: Definition<F>): CredentialKind {
  const { kind, typeName, fields, facts = {}, internalFacts = {}, generate } = definition;
  const refuse = (why: string): never => {
    throw new Error(`Credential kind ${kind}: ${why}.`);
  };
  if (!/^[a-z][A-Za-z0-9]*$/.test(kind)) refuse('the kind must be in camelCase');
  if (!/^[A-Z][A-Za-z0-9]*Credential$/.test(typeName)) refuse('the type name must be in PascalCase and end in Credential');
  if (typeName === OUTDATED_CREDENTIAL) refuse(`the type name ${typeName} is that of credentials that do not fit their kind any more`);
  if (typeName === ALTERED_CREDENTIAL) refuse(`the type name ${typeName} is that of credentials that were altered in the database`);
  const names = [...Object.keys(fields), ...Object.keys(facts), ...Object.keys(internalFacts)];
  for (const name of names) if (names.indexOf(name) !== names.lastIndexOf(name)) refuse(`${name} is defined twice, as a field or a fact`);
  for (const name of [kind, ...names]) {
    // graphql-js, and what reads answers, would find such a member in each object.
    if (name in Object.prototype) refuse(`${name} is a name that every JavaScript object has`);
    if (name.startsWith('__')) refuse(`${name} begins with __, as names of GraphQL itself do`);
  }
  for (const name of definition.destinations ?? []) if (fields[name]?.secret !== false) refuse(`${name} is not a setting`);
  if (definition.apply) refuseApply(definition.apply, fields, refuse);
  if (generate && !fields[generate.field]?.secret) refuse('only a secret can be generated');
  // The only place where the exact field types are dropped. TypeScript has already checked `derive` and `check` against them.
  return { derive: () => ({}), check: () => [], ...definition } as unknown as CredentialKind;
}

/** Calls `refuse` when a kind is applied with fields that it does not have, or chooses the way by something that is not a choice. */
function refuseApply(apply: Apply, fields: KindFields, refuse: (why: string) => never): void {
  for (const { name } of allTemplates(apply).flatMap(fieldsOf)) {
    const field = fields[name];
    if (field?.type !== 'String' && field?.type !== 'Choice') refuse(`apply uses ${name}, which is not a text field`);
  }
  const { hosts = [], urls = '', hostOf = '' } = apply.only ?? {};
  for (const { name } of [...hosts, urls, hostOf].flatMap(fieldsOf)) {
    if (fields[name]?.secret) refuse(`apply.only uses ${name}, which is secret`);
  }
  if (!('by' in apply)) return;
  const by = fields[apply.by];
  if (by?.type !== 'Choice' || by.optional) throw refuse(`apply chooses by ${apply.by}, which is not a required choice`);
  const missing = (by.only ?? Object.keys(by.choices.values)).filter((value) => !apply.each[value]);
  if (missing.length > 0) refuse(`apply says nothing about ${missing.join(', ')} of ${apply.by}`);
}
