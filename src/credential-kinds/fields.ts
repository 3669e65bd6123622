import type { Format } from './formats.ts';

/** The maximum length of any secret, in characters. A kind sets a lower limit where the service or a standard has one. */
export const LONGEST_SECRET = 65_536;

/** A closed set of values that becomes a GraphQL enum. Kinds whose fields share a name must share one such object. */
export interface Choices<Value extends string = string> {
  readonly enumName: string;
  readonly description: string;
  /** Maps each value, in upper case, to its meaning. */
  readonly values: Readonly<Record<Value, string>>;
}

interface Common<T> {
  readonly description: string;
  readonly example: T;
  /** A value that validation must reject. Contract tests send it. */
  readonly invalidExample: unknown;
  /** False by default: the field is required on create and cannot be cleared. */
  readonly optional?: boolean;
}

interface TextBounds {
  /** In UTF-16 code units, as in JavaScript and HTML forms. 1 by default. */
  readonly minLength?: number;
  /** In UTF-16 code units. */
  readonly maxLength: number;
  /** For base64: the maximum number of decoded bytes. */
  readonly maxBytes?: number;
  readonly format?: Format;
}

/**
 * One field of a credential kind: everything that the schema, the store, validation and a front end's form need to know about it.
 * It is plain data, so it can be returned to callers without conversion.
 */
export type Field =
  | (Common<string> & TextBounds & { readonly type: 'String'; readonly secret: boolean })
  | (Common<string> & {
      readonly type: 'Choice';
      readonly secret: false;
      readonly choices: Choices;
      /** The values of a shared set that this kind accepts. All by default. */
      readonly only?: readonly string[];
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
  | (Common<boolean> & { readonly type: 'Boolean'; readonly secret: false })
  | (Common<string> & { readonly type: 'DateTime'; readonly secret: false });

/** The TypeScript type of a field's value. */
export type ValueOf<F> = F extends { readonly choices: Choices<infer V> }
  ? V
  : F extends { readonly type: 'StringList' }
    ? readonly string[]
    : F extends { readonly type: 'Int' }
      ? number
      : F extends { readonly type: 'Boolean' }
        ? boolean
        : F extends { readonly type: 'DateTime' }
          ? Date
          : string;

type Options<F> = Omit<F, 'type' | 'secret'>;
type TextField = Extract<Field, { type: 'String' }>;

// Each function sets `type` and `secret` last, so that options spread from another field cannot turn a secret into a setting.

/** A setting that is text: one line, unless `format` says otherwise. */
export function text<const O extends Options<TextField>>(options: O) {
  return { format: 'line', ...options, type: 'String', secret: false } as { type: 'String'; secret: false; format?: Format } & O;
}

/** A secret, sealed at rest and shown as `*****`. Any text, unless it has a format. */
export function secret<const O extends Options<TextField>>(options: O) {
  return { ...options, type: 'String', secret: true } as const;
}

/** A setting with a closed set of values. `only` restricts a shared set for one kind. */
export function choice<const O extends Options<Extract<Field, { type: 'Choice' }>>>(options: O) {
  return { ...options, type: 'Choice', secret: false } as const;
}

/** A setting that is a list of texts. An unset list is returned as `[]`, never as null. */
export function textList<const O extends Options<Extract<Field, { type: 'StringList' }>>>(options: O) {
  return { ...options, type: 'StringList', secret: false } as const;
}

/** A setting that is a whole number. */
export function integer<const O extends Options<Extract<Field, { type: 'Int' }>>>(options: O) {
  return { ...options, type: 'Int', secret: false } as const;
}

/** A setting that is true or false. */
export function flag<const O extends Options<Extract<Field, { type: 'Boolean' }>>>(options: O) {
  return { ...options, type: 'Boolean', secret: false } as const;
}

/** A setting that is a point in time (RFC 3339). The example is text; the value is a Date. */
export function instant<const O extends Options<Extract<Field, { type: 'DateTime' }>>>(options: O) {
  return { ...options, type: 'DateTime', secret: false } as const;
}
