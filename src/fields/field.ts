import type { Noun } from '../access/scopes.ts';
import type { Issue } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import type { Format } from './formats.ts';

/** The maximum length of any secret, in characters. A kind sets a lower limit where the service or a standard has one. */
export const LONGEST_SECRET = 65_536;

/** A closed set of values that becomes a GraphQL enum. Credential kinds whose fields share a name must share one such object. */
export interface Choices<Value extends string = string> {
  readonly enumName: string;
  readonly description: string;
  /** Maps each value, in upper case, to its meaning. */
  readonly values: Readonly<Record<Value, string>>;
}

interface Common<T> {
  readonly description: string;
  /** False by default: the field is required on create and cannot be cleared. */
  readonly optional?: boolean;
  /** The value of an optional field that is left out on create, or cleared. Null by default. */
  readonly default?: T;
  /** If false, the field is optional on create, and cannot be cleared later. */
  readonly clearable?: false;
  readonly example?: T | undefined;
  /** A value that validation must reject. Contract tests send it. */
  readonly invalidExample?: unknown;
}

interface TextBounds {
  /** In UTF-16 code units, as in JavaScript and HTML forms. 1 by default. */
  readonly minLength?: number;
  /** In UTF-16 code units. */
  readonly maxLength: number;
  /** For base64: the maximum number of decoded bytes. */
  readonly maxBytes?: number;
  readonly format?: Format;
  /** The format of a field of a credential kind, if it depends on the value of another setting: the format for each value of that setting. */
  readonly formatBy?: { readonly setting: string; readonly formats: Readonly<Record<string, Format>> };
  /** If true, the text is compared with stored texts or tokens, and is not shown to others. So it can be any, also a URL with a password. */
  readonly comparedOnly?: true;
  /** If true, credentials can be searched by the text of this field of their kind. Only for a short text that identifies something. */
  readonly searchable?: true;
}

/** An object with fields of its own, with its output type and its input type. */
export interface ObjectType {
  /** The names of the GraphQL output type and input type. */
  readonly typeName: string;
  readonly inputName: string;
  readonly description: string;
  /** The description of the input; that of the type by default. */
  readonly inputDescription?: string;
  readonly fields: Fields;
  /** Checks rules between fields. A field that is not valid is undefined. The paths of issues are relative to the object. */
  check?(values: never): readonly Issue[];
}
interface TypedObject<F extends Fields> extends ObjectType {
  readonly fields: F;
  check?(values: { readonly [K in keyof F]: ValuesOf<F>[K] | undefined }): readonly Issue[];
}

/**
 * One field that callers write: everything that the schema, the store, validation and a front end's form need to know about it.
 * It is plain data, so it can be returned to callers without conversion.
 */
export type Field =
  | (Common<string> & TextBounds & { readonly type: 'String'; readonly secret: boolean })
  | (Common<string> & {
      readonly type: 'Choice';
      readonly secret: false;
      readonly choices: Choices;
      /** The values of a shared set that this field accepts; all by default. */
      readonly only?: readonly string[];
    })
  | (Common<readonly string[]> & {
      readonly type: 'ChoiceList';
      readonly secret: false;
      readonly choices: Choices;
      readonly minItems: number;
      readonly maxItems: number;
    })
  | (Common<readonly string[]> & {
      readonly type: 'StringList';
      readonly secret: false;
      readonly maxItems: number;
      /** The maximum length of one item, in UTF-16 code units. */
      readonly maxLength: number;
      /** The format of every item. */
      readonly format?: Format;
    })
  | (Common<number> & { readonly type: 'Int'; readonly secret: false; readonly min: number; readonly max: number })
  | (Common<number> & { readonly type: 'Float'; readonly secret: false })
  | (Common<boolean> & { readonly type: 'Boolean'; readonly secret: false })
  | (Common<string> & { readonly type: 'DateTime'; readonly secret: false })
  /** A reference to a record: a global id in GraphQL, the record's own id everywhere else. */
  | (Common<string> & { readonly type: 'ID'; readonly secret: false; readonly noun: Noun })
  | (Common<object> & { readonly type: 'Object'; readonly secret: false; readonly of: ObjectType })
  | (Common<readonly object[]> & {
      readonly type: 'ObjectList';
      readonly secret: false;
      readonly of: ObjectType;
      readonly maxItems: number;
      /** A member whose value must be different in all items. */
      readonly uniqueBy?: string;
    });

/** Fields by name. */
export type Fields = Readonly<Record<string, Field>>;

/** The TypeScript type of a checked field's value. */
export type ValueOf<F> = F extends { readonly type: 'ObjectList'; readonly of: { readonly fields: infer Inner extends Fields } }
  ? readonly ValuesOf<Inner>[]
  : F extends { readonly type: 'Object'; readonly of: { readonly fields: infer Inner extends Fields } }
    ? ValuesOf<Inner>
    : Scalar<F>;

/** The TypeScript type of a field's value in the input. */
export type GivenValue<F> = F extends { readonly type: 'ObjectList'; readonly of: { readonly fields: infer Inner extends Fields } }
  ? readonly InputOf<Inner>[]
  : F extends { readonly type: 'Object'; readonly of: { readonly fields: infer Inner extends Fields } }
    ? InputOf<Inner>
    : Scalar<F>;

type Scalar<F> = F extends { readonly type: 'ChoiceList'; readonly choices: Choices<infer V> }
  ? readonly V[]
  : F extends { readonly choices: Choices<infer V> }
    ? V
    : F extends { readonly type: 'StringList' }
      ? readonly string[]
      : F extends { readonly type: 'Int' | 'Float' }
        ? number
        : F extends { readonly type: 'Boolean' }
          ? boolean
          : F extends { readonly type: 'DateTime' }
            ? Date
            : F extends { readonly secret: true }
              ? Redacted
              : string;

type OptionalNames<F extends Fields> = { [K in keyof F]: F[K] extends { readonly optional: true } ? K : never }[keyof F];

/** The input to create an object with these fields. Null is the same as absent. */
export type InputOf<F extends Fields> = { readonly [K in Exclude<keyof F, OptionalNames<F>>]: GivenValue<F[K]> } & {
  readonly [K in OptionalNames<F>]?: GivenValue<F[K]> | null;
};

/** The input to change an object with these fields. An absent field is kept; null clears it. */
export type ChangesOf<F extends Fields> = { readonly [K in keyof F]?: GivenValue<F[K]> | null };

/** The checked values of these fields. All members are present; null if not set. */
export type ValuesOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends { readonly default: unknown }
    ? ValueOf<F[K]>
    : K extends OptionalNames<F>
      ? ValueOf<F[K]> | null
      : ValueOf<F[K]>;
};

type Options<F> = Omit<F, 'type' | 'secret'>;
type Of<T extends Field['type']> = Extract<Field, { type: T }>;

// Each function sets `type` and `secret` last, so that options spread from another field cannot turn a secret into a setting.

/** A setting that is text: one line, unless `format` says otherwise. */
export function text<const O extends Options<Of<'String'>>>(options: O) {
  return { format: 'line', ...options, type: 'String', secret: false } as { type: 'String'; secret: false; format?: Format } & O;
}

/** A secret, sealed at rest and shown as `*****`. Name its format, or `any` if it is free text. A mask such as `*****` is always refused. */
export function secret<const O extends Options<Of<'String'>>>(options: O) {
  return { ...options, type: 'String', secret: true } as const;
}

/** A setting with a closed set of values. `only` restricts a shared set for one field. */
export function choice<const O extends Options<Of<'Choice'>>>(options: O) {
  return { ...options, type: 'Choice', secret: false } as const;
}

/** A setting that is a list of values of a closed set. */
export function choiceList<const O extends Options<Of<'ChoiceList'>>>(options: O) {
  return { ...options, type: 'ChoiceList', secret: false } as const;
}

/** A setting that is a list of texts. An unset list of a credential is returned as `[]`, never as null. */
export function textList<const O extends Options<Of<'StringList'>>>(options: O) {
  return { ...options, type: 'StringList', secret: false } as const;
}

/** A setting that is a whole number. */
export function integer<const O extends Options<Of<'Int'>>>(options: O) {
  return { ...options, type: 'Int', secret: false } as const;
}

/** A setting that is any finite number. */
export function float<const O extends Options<Of<'Float'>>>(options: O) {
  return { ...options, type: 'Float', secret: false } as const;
}

/** A setting that is true or false. */
export function flag<const O extends Options<Of<'Boolean'>>>(options: O) {
  return { ...options, type: 'Boolean', secret: false } as const;
}

/** A setting that is a point in time (RFC 3339). The example is text; the value is a Date. */
export function instant<const O extends Options<Of<'DateTime'>>>(options: O) {
  return { ...options, type: 'DateTime', secret: false } as const;
}

/** A setting that names a record of a noun. */
export function idOf<const N extends Noun, const O extends Omit<Options<Of<'ID'>>, 'noun'>>(noun: N, options: O) {
  return { ...options, noun, type: 'ID', secret: false } as const;
}

/** A setting that is one object with fields of its own. */
export function object<F extends Fields, const O extends Omit<Options<Of<'Object'>>, 'of'>>(of: TypedObject<F>, options: O) {
  return { ...options, of, type: 'Object', secret: false } as const;
}

/** A setting that is a list of objects with fields of their own. */
export function objectList<F extends Fields, const O extends Omit<Options<Of<'ObjectList'>>, 'of'>>(of: TypedObject<F>, options: O) {
  return { ...options, of, type: 'ObjectList', secret: false } as const;
}

/** Defines an object type. The parameter of `check` is typed by the fields. */
export function objectType<const F extends Fields>(type: TypedObject<F>): TypedObject<F> {
  return type;
}

/** One for all: it takes longer to create than to use. */
const numberFormat = new Intl.NumberFormat('en');

/** Returns the bounds of a field as a sentence for its description. Empty if there are none. */
export function boundsOf(field: Field): string {
  const number = (value: number) => numberFormat.format(value);
  switch (field.type) {
    case 'String': {
      const { minLength = 1, maxLength } = field;
      if (minLength === maxLength) return `Exactly ${number(maxLength)} characters.`;
      return `${minLength > 1 ? `${number(minLength)} to` : 'At most'} ${number(maxLength)} characters.`;
    }
    case 'StringList':
      return `At most ${number(field.maxItems)} items of ${number(field.maxLength)} characters.`;
    case 'ChoiceList':
      return field.minItems > 0 ? 'Must not be empty.' : '';
    case 'ObjectList':
      return `At most ${number(field.maxItems)} items${field.uniqueBy ? `, no two with the same ${field.uniqueBy}` : ''}.`;
    case 'Int':
      return field.max < 2 ** 31 - 1 ? `From ${number(field.min)} to ${number(field.max)}.` : `At least ${number(field.min)}.`;
    case 'Choice':
      return field.only ? `One of ${field.only.join(', ')}.` : '';
    default:
      return '';
  }
}

/** Returns the description of an input field: that of the field with its bounds and its default. */
export function describeInput(field: Field): string {
  const { default: value } = field;
  const isEmpty = value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
  return [field.description, boundsOf(field), isEmpty ? '' : `Default: ${Array.isArray(value) ? value.join(', ') : value}.`]
    .filter(Boolean)
    .join(' ');
}
