import { Schema, type SchemaTypeOptions } from 'mongoose';

/**
 * One field of a document. It is written once, by the functions below, and says both how mongoose stores it and, to the compiler, what is
 * read from it.
 */
export interface Field<T> {
  readonly definition: SchemaTypeOptions<unknown>;
  /** Never there. It carries the type. */
  readonly read?: () => T;
}

/** The fields of a document, by name. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What is read from a field. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

/** What is read from fields. Those that may be absent are optional. */
export type ValuesOf<F extends Fields> = {
  readonly [K in keyof F as undefined extends ValueOf<F[K]> ? never : K]: ValueOf<F[K]>;
} & {
  readonly [K in keyof F as undefined extends ValueOf<F[K]> ? K : never]?: ValueOf<F[K]>;
};

/** Text that is not empty. Of which kind it is, is checked by whoever writes it. */
export function text<T extends string = string>(): Field<T> {
  return { definition: { type: String, required: true } };
}

/** Text that may be empty. */
export function anyText(): Field<string> {
  return { definition: { type: String, default: '' } };
}

/** One of a few texts. */
export function oneOf<const T extends string>(values: readonly T[]): Field<T> {
  return { definition: { type: String, enum: values, required: true } };
}

export function boolean(): Field<boolean> {
  return { definition: { type: Boolean, required: true } };
}

export function number(): Field<number> {
  return { definition: { type: Number, required: true } };
}

export function date(): Field<Date> {
  return { definition: { type: Date, required: true } };
}

/** A value whose shape is checked by whoever writes it, and not here. */
export function mixed<T>(): Field<T> {
  return { definition: { type: Schema.Types.Mixed, required: true } };
}

/** An object within a document. It has no id of its own. */
export function object<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  return { definition: { type: new Schema(definitionsOf(fields), { _id: false, id: false, minimize: false }), required: true } };
}

/** A list; in a new document it is empty unless told. */
export function list<T>({ definition }: Field<T>): Field<readonly T[]> {
  return { definition: { type: [definition.type] } };
}

/** A field whose value may be null, and is unless told. */
export function nullable<T>({ definition }: Field<T>): Field<T | null> {
  return { definition: { ...definition, required: false, default: null } };
}

/** A field that a document need not have, such as one that is younger than the document. */
export function optional<T>({ definition }: Field<T>): Field<T | undefined> {
  return { definition: { ...definition, required: false } };
}

/** A document that belongs to an organization, as all do. */
export type TenantDocument<F extends Fields> = { readonly _id: string; readonly organizationId: string } & ValuesOf<F>;

/** The schema of a collection. Its documents each belong to an organization, and every index and every query begins with that. */
export function tenantSchema<F extends Fields>(fields: F): Schema<TenantDocument<F>> {
  const definitions = definitionsOf({ _id: text(), organizationId: text(), ...fields });
  // Mongoose's documents are used for nothing but to be inserted, so a field may have the name of one of their members, such as `errors`.
  const schema: Schema = new Schema(definitions, { versionKey: false, minimize: false, id: false, suppressReservedKeysWarning: true });
  return schema;
}

function definitionsOf(fields: Fields): Record<string, SchemaTypeOptions<unknown>> {
  return Object.fromEntries(Object.entries(fields).map(([name, { definition }]) => [name, definition]));
}
