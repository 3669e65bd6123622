import { Schema, type SchemaTypeOptions } from 'mongoose';

/**
 * One field of a document. The functions below create it. It contains both mongoose's definition and the TypeScript type of the value.
 */
export interface Field<T> {
  readonly definition: SchemaTypeOptions<unknown>;
  /** Never set. It exists only for the type. */
  readonly read?: () => T;
}

/** The fields of a document, by name. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The type of a field's value. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

/** The type of the values of fields. Fields that can be absent are optional. */
export type ValuesOf<F extends Fields> = {
  readonly [K in keyof F as undefined extends ValueOf<F[K]> ? never : K]: ValueOf<F[K]>;
} & {
  readonly [K in keyof F as undefined extends ValueOf<F[K]> ? K : never]?: ValueOf<F[K]>;
};

/** Text that is not empty. The caller checks its format. */
export function text<T extends string = string>(): Field<T> {
  return { definition: { type: String, required: true } };
}

/** Text that can be empty. */
export function anyText(): Field<string> {
  return { definition: { type: String, default: '' } };
}

/** One of a fixed set of texts. */
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

/** A value of any shape. The caller checks it. */
export function mixed<T>(): Field<T> {
  return { definition: { type: Schema.Types.Mixed, required: true } };
}

/** An object within a document. It has no id of its own. */
export function object<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  return { definition: { type: new Schema(definitionsOf(fields), { _id: false, id: false, minimize: false }), required: true } };
}

/** A list. Empty by default in a new document. */
export function list<T>({ definition }: Field<T>): Field<readonly T[]> {
  return { definition: { type: [definition.type] } };
}

/** A field whose value can be null. Null by default. */
export function nullable<T>({ definition }: Field<T>): Field<T | null> {
  return { definition: { ...definition, required: false, default: null } };
}

/** A field that can be absent, for example because it was added after the document was created. */
export function optional<T>({ definition }: Field<T>): Field<T | undefined> {
  return { definition: { ...definition, required: false } };
}

/** A document of an organization. All documents belong to one. */
export type TenantDocument<F extends Fields> = { readonly _id: string; readonly organizationId: string } & ValuesOf<F>;

/** Creates the schema of a collection. Each document belongs to an organization, and every index and query begins with it. */
export function tenantSchema<F extends Fields>(fields: F): Schema<TenantDocument<F>> {
  const definitions = definitionsOf({ _id: text(), organizationId: text(), ...fields });
  // Mongoose documents are only used for inserts, so fields can have the names of their members, such as `errors`.
  const schema: Schema = new Schema(definitions, { versionKey: false, minimize: false, id: false, suppressReservedKeysWarning: true });
  return schema;
}

function definitionsOf(fields: Fields): Record<string, SchemaTypeOptions<unknown>> {
  return Object.fromEntries(Object.entries(fields).map(([name, { definition }]) => [name, definition]));
}
