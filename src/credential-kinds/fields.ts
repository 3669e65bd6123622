import type { Format } from './formats.ts';

/** The longest secret there is, in characters. Kinds set less where a service or a standard does. */
export const LONGEST_SECRET = 65_536;

/** A closed set of values that becomes a GraphQL enum; share one value between kinds whose fields share a name. */
export interface Choices<Value extends string = string> {
  readonly enumName: string;
  readonly description: string;
  /** Value, in upper case, and what it means. */
  readonly values: Readonly<Record<Value, string>>;
}

interface Common<T> {
  readonly description: string;
  readonly example: T;
  /** A value that validation must refuse. Contract tests send it. */
  readonly invalidExample: unknown;
  /** Absent by default: the field must be given on create and cannot be cleared. */
  readonly optional?: boolean;
}

interface TextBounds {
  /** In UTF-16 code units, as JavaScript and HTML forms count; 1 unless told. */
  readonly minLength?: number;
  /** In UTF-16 code units. */
  readonly maxLength: number;
  /** For base64: how many bytes it may stand for. */
  readonly maxBytes?: number;
  readonly format?: Format;
}

/**
 * One field of a credential kind: everything that the schema, the store, validation and a front end's form need to know of it.
 * Plain data, so that it can be shown as it is.
 */
export type Field =
  | (Common<string> & TextBounds & { readonly type: 'String'; readonly secret: boolean })
  | (Common<string> & {
      readonly type: 'Choice';
      readonly secret: false;
      readonly choices: Choices;
      /** Those of a shared set that this kind takes; all unless told. */
      readonly only?: readonly string[];
    })
  | (Common<readonly string[]> & {
      readonly type: 'StringList';
      readonly secret: false;
      readonly maxItems: number;
      /** Of one item, in UTF-16 code units. */
      readonly maxLength: number;
      /** Of every item. */
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

// In each, what the function stands for comes last, so that no options, spread from another field, turn a secret into a setting.

/** A setting that is text and readable: one line, unless the format says otherwise. */
export function text<const O extends Options<TextField>>(options: O) {
  return { format: 'line', ...options, type: 'String', secret: false } as { type: 'String'; secret: false; format?: Format } & O;
}

/** A value that is sealed at rest and shown as `*****`. Any text, unless it has a format. */
export function secret<const O extends Options<TextField>>(options: O) {
  return { ...options, type: 'String', secret: true } as const;
}

/** A setting that is one of a closed set. `only` narrows a shared set for one kind. */
export function choice<const O extends Options<Extract<Field, { type: 'Choice' }>>>(options: O) {
  return { ...options, type: 'Choice', secret: false } as const;
}

/** A setting that is a list of texts. Read back as `[]`, never null, when it is not set. */
export function textList<const O extends Options<Extract<Field, { type: 'StringList' }>>>(options: O) {
  return { ...options, type: 'StringList', secret: false } as const;
}

/** A setting that is a whole number. */
export function integer<const O extends Options<Extract<Field, { type: 'Int' }>>>(options: O) {
  return { ...options, type: 'Int', secret: false } as const;
}

/** A setting that is on or off. */
export function flag<const O extends Options<Extract<Field, { type: 'Boolean' }>>>(options: O) {
  return { ...options, type: 'Boolean', secret: false } as const;
}

/** A setting that is an instant, RFC 3339. The example is text; the value a Date. */
export function instant<const O extends Options<Extract<Field, { type: 'DateTime' }>>>(options: O) {
  return { ...options, type: 'DateTime', secret: false } as const;
}
