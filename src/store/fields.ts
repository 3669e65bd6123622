import { Schema, type SchemaTypeOptions } from 'mongoose';

/**
 * One field of a document. The functions below create it. It contains both mongoose's definition and the TypeScript type of the value.
 */
export interface Field<T> {
  readonly definition: SchemaTypeOptions<unknown>;
  /** Whether a stored value has the type. The gateway writes no other, but somebody else can. */
  readonly fits: (value: unknown) => boolean;
  /** Replaces a value that does not fit, where a record is only shown. */
  readonly blank: T;
  /** The value has any shape, so `fits` cannot tell whether a value may be stored. */
  readonly anyShape?: true;
  /** The fields of an object. */
  readonly fields?: Fields;
  /** The items of a list. */
  readonly item?: Field<unknown>;
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
  return { definition: { type: String, required: true }, fits: isText, blank: '' as T };
}

/** Text that can be empty. */
export function anyText(): Field<string> {
  return { definition: { type: String, default: '' }, fits: isText, blank: '' };
}

const isText = (value: unknown) => typeof value === 'string';

/** One of a fixed set of texts. */
export function oneOf<const T extends string>(values: readonly T[]): Field<T> {
  const fits = (value: unknown) => values.includes(value as T);
  return { definition: { type: String, enum: values, required: true }, fits, blank: values[0]! };
}

export function boolean(): Field<boolean> {
  return { definition: { type: Boolean, required: true }, fits: (value) => typeof value === 'boolean', blank: false };
}

export function number(): Field<number> {
  return { definition: { type: Number, required: true }, fits: isInt, blank: 0 };
}

/** GraphQL's `Int` has 32 bits. */
const isInt = (value: unknown) => typeof value === 'number' && value === (value | 0);

export function date(): Field<Date> {
  const fits = (value: unknown) => value instanceof Date && !Number.isNaN(value.getTime());
  return { definition: { type: Date, required: true }, fits, blank: new Date(0) };
}

/** A value of any shape. The caller checks it. Nothing tells here whether a stored value fits, so only an empty one does. */
export function mixed<T>(): Field<T> {
  const fits = (value: unknown) => isObject(value) && Object.keys(value).length === 0;
  return { definition: { type: Schema.Types.Mixed, required: true }, fits, blank: {} as T, anyShape: true };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** An object within a document. It has no id of its own. */
export function object<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  const definition = { type: new Schema(definitionsOf(fields), { _id: false, id: false, minimize: false }), required: true };
  const fits = (value: unknown) => isObject(value) && Object.entries(fields).every(([name, field]) => field.fits(value[name]));
  return { definition, fits, blank: fitting(fields, {}), fields };
}

/** Returns the values of the fields from a document that anybody can have written. Values that do not fit their type are replaced. */
export function fitting<F extends Fields>(fields: F, document: Readonly<Record<string, unknown>>): ValuesOf<F> {
  const values = Object.entries(fields).map(([name, { fits, blank }]) => [name, fits(document[name]) ? document[name] : blank]);
  return Object.fromEntries(values) as ValuesOf<F>;
}

/** A list. */
export function list<T>(item: Field<T>): Field<readonly T[]> {
  const fits = (value: unknown) => Array.isArray(value) && value.every(item.fits);
  return { definition: { type: [item.definition.type] }, fits, blank: [], item };
}

/** A field whose value can be null. */
export function nullable<T>({ definition, fits, ...rest }: Field<T>): Field<T | null> {
  return {
    ...rest,
    definition: { ...definition, required: false, default: null },
    fits: (value) => value === null || fits(value),
    blank: null,
  };
}

/** A field that can be absent, for example because it was added after the document was created. */
export function optional<T>({ definition, fits, ...rest }: Field<T>): Field<T | undefined> {
  return { ...rest, definition: { ...definition, required: false }, fits: (value) => value === undefined || fits(value), blank: undefined };
}

/**
 * Returns the values of the fields as they are stored: without those that are undefined.
 * @throws TypeError when a value has no field or does not fit it, which is a mistake in our code
 */
export function storable(fields: Fields, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const stored: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const kept = Object.hasOwn(fields, name) ? storedValue(fields[name]!, value) : MISFIT;
    if (kept === MISFIT) throw new TypeError(`The field ${name} cannot store such a value.`);
    if (kept !== undefined) stored[name] = kept;
  }
  return stored;
}

/** The same for all fields: those that must be there are. */
export function storableWhole(fields: Fields, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const absent = Object.keys(fields).filter((name) => !Object.hasOwn(values, name));
  return storable(fields, absent.length === 0 ? values : { ...values, ...Object.fromEntries(absent.map((name) => [name, undefined])) });
}

const MISFIT = Symbol('a value that does not fit its field');

function storedValue(field: Field<unknown>, value: unknown): unknown {
  const { anyShape, fields, item, fits } = field;
  if (anyShape && value !== undefined) return withoutUndefined(value);
  if (item && Array.isArray(value)) {
    const kept = value.map((each) => storedValue(item, each));
    return kept.includes(MISFIT) ? MISFIT : kept;
  }
  if (fields && isObject(value)) return storableWhole(fields, value);
  return fits(value) ? value : MISFIT;
}

/** Returns a value of any shape as the driver stores it: an item of a list that is undefined is null. */
function withoutUndefined(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutUndefined(inner)]));
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
