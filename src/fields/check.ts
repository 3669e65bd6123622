import { z } from 'zod';
import { type Issue, type Path, ValidationError } from '../errors.ts';
import { Redacted } from '../redacted.ts';
import type { ChangesOf, Field, Fields, InputOf, ObjectType, ValuesOf } from './field.ts';
import { type Format, ruleOfFormat } from './formats.ts';
import { isBlank, isMask, isMaskPart, showsSecret } from './shown-secrets.ts';

/** Options of a check. */
interface CheckOptions {
  /** The path of the values, added at the beginning of every path in errors. Empty by default. */
  readonly path?: Path;
  /** The message for a member that is not one of the fields. It never contains the member's name. */
  readonly unknownMember?: string;
}

/**
 * Checks all values of a new object. An optional field that is absent or null gets its default, or null when it has none.
 * @throws ValidationError with every broken rule; messages contain the rule and never the value
 */
export function checkInput<F extends Fields>(fields: F, given: InputOf<F>, options: CheckOptions = {}): ValuesOf<F> {
  return checkAny(fields, given, 'create', options) as ValuesOf<F>;
}

/**
 * Checks the values that a caller changes. Null clears an optional field. Fields that are absent or undefined are not in the result.
 *
 * @throws ValidationError with every broken rule; messages contain the rule and never the value
 */
export function checkChanges<F extends Fields>(fields: F, given: ChangesOf<F>, options: CheckOptions = {}): Partial<ValuesOf<F>> {
  return checkAny(fields, given, 'update', options) as Partial<ValuesOf<F>>;
}

/**
 * The same for fields whose types the compiler does not know, such as those of any credential kind.
 * @throws ValidationError with every broken rule; messages tell the rule and never the value
 */
export function checkAny(fields: Fields, given: object, when: 'create' | 'update', options: CheckOptions = {}): Record<string, unknown> {
  const { value, issues } = examine(fields, given, when, options);
  if (issues.length > 0) throw new ValidationError(issues);
  return value;
}

/**
 * Refuses the rest of an input whose known members are taken: it must be empty.
 * @throws ValidationError when it is not
 */
export function refuseUnknown(rest: Readonly<Record<never, never>>): void {
  checkAny({}, rest, 'create');
}

/** Checks one value. @throws ValidationError */
export function checkValue<F extends Field>(field: F, given: unknown, path: Path = []): ValuesOf<{ value: F }>['value'] {
  const { value, issues } = examineField(field, given, 'create', path);
  if (issues.length > 0) throw new ValidationError(issues);
  return value as never;
}

type When = 'create' | 'update';

/** The values of the valid fields, and what is wrong with the others. */
export interface Examined {
  /** Null for a field that is not set, undefined for one that is not valid. */
  readonly value: Record<string, unknown>;
  readonly issues: readonly Issue[];
}
interface ExaminedValue {
  readonly value: unknown;
  readonly issues: readonly Issue[];
}

/** Does the same as `checkAny`, but returns the issues. */
export function examine(fields: Fields, given: object, when: When, options: CheckOptions = {}): Examined {
  const { path = [], unknownMember = 'has members that are not known' } = options;
  const values: Record<string, unknown> = {};
  const issues: Issue[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const sent = (given as Record<string, unknown>)[name];
    if (when === 'update' && sent === undefined) continue;
    const examined = examineField(field, sent, when, [...path, name]);
    issues.push(...examined.issues);
    values[name] = examined.issues.length > 0 ? undefined : examined.value;
  }
  const isUnknown = ([name, value]: [string, unknown]) => value !== undefined && !Object.hasOwn(fields, name);
  if (Object.entries(given).some(isUnknown)) issues.push({ path, message: unknownMember });
  return { value: values, issues };
}

/**
 * Returns the issues without those about a value that is known to be invalid. A rule between fields sees such a value as absent, so what it
 * says about the value would be misleading.
 */
export function withoutRepeated(issues: readonly Issue[], known: readonly Issue[]): Issue[] {
  const isAt = (path: Path, other: Path) => other.length > 0 && other.every((name, index) => path[index] === name);
  return issues.filter(({ path }) => !known.some((other) => isAt(path, other.path)));
}

function examineField(field: Field, sent: unknown, when: When, path: Path): ExaminedValue {
  if (sent === undefined || sent === null) {
    const mayBeNull = field.optional && (when === 'create' || field.clearable !== false);
    if (mayBeNull) return { value: field.default ?? null, issues: [] };
    return { value: null, issues: [{ path, message: when === 'update' ? 'cannot be cleared' : 'is required' }] };
  }
  if (field.type === 'Object') return examineObject(field.of, sent, path);
  if (field.type === 'ObjectList') return examineList(field, sent, path);
  const result = ruleOf(field).safeParse(sent);
  if (result.success) return { value: result.data, issues: [] };
  return {
    value: null,
    issues: result.error.issues.map((issue) => ({ path: [...path, ...(issue.path as (string | number)[])], message: issue.message })),
  };
}

function examineObject(type: ObjectType, sent: unknown, path: Path): ExaminedValue {
  if (typeof sent !== 'object' || sent === null || Array.isArray(sent))
    return { value: null, issues: [{ path, message: 'must be an object' }] };
  const { value, issues } = examine(type.fields, sent, 'create', { path });
  const broken = (type.check?.(value as never) ?? []).map((issue) => ({ ...issue, path: [...path, ...issue.path] }));
  // An unknown member is reported at the path of the object. It says nothing about the other members.
  const ofMembers = issues.filter((issue) => issue.path.length > path.length);
  return { value, issues: [...issues, ...withoutRepeated(broken, ofMembers)] };
}

function examineList({ of, maxItems, uniqueBy }: Extract<Field, { type: 'ObjectList' }>, sent: unknown, path: Path): ExaminedValue {
  if (!Array.isArray(sent)) return { value: null, issues: [{ path, message: 'must be a list of objects' }] };
  if (sent.length > maxItems) return { value: null, issues: [{ path, message: `must be at most ${maxItems} items` }] };
  const items = sent.map((item, index) => examineObject(of, item, [...path, index]));
  const issues = items.flatMap((item) => item.issues);
  const value = items.map((item) => item.value as Record<string, unknown>);
  if (!uniqueBy) return { value, issues };
  const valid = value.map((item) => item?.[uniqueBy] ?? null).filter((each) => each !== null); // Invalid ones are not compared.
  if (new Set(valid).size === valid.length) return { value, issues };
  return { value, issues: [...issues, { path, message: `must not have two items with the same ${uniqueBy}` }] };
}

const rules = new WeakMap<Field, z.ZodType>();

/** Returns the rule for a field's value, created on first use. All messages are set here, because zod's own can change. */
function ruleOf(field: Field): z.ZodType {
  const rule = rules.get(field) ?? newRule(field);
  rules.set(field, rule);
  return rule;
}

function newRule(field: Field): z.ZodType {
  switch (field.type) {
    case 'String':
      return field.secret ? secretRule(field) : readableRule(field, 'must be text');
    case 'Choice': {
      const values = field.only ?? Object.keys(field.choices.values);
      return z.enum(values as [string, ...string[]], { error: `must be one of ${values.join(', ')}` });
    }
    case 'ChoiceList': {
      const values = Object.keys(field.choices.values);
      return z
        .array(z.enum(values as [string, ...string[]], { error: `must be one of ${values.join(', ')}` }), { error: 'must be a list' })
        .min(field.minItems, `must have at least ${field.minItems} items`)
        .max(field.maxItems, `must have at most ${field.maxItems} items`);
    }
    case 'StringList':
      return z
        .array(readableRule(field, 'must be text'), { error: 'must be a list of texts' })
        .max(field.maxItems, `must have at most ${field.maxItems} items`);
    case 'Int': {
      const error = `must be a whole number from ${field.min} to ${field.max}`;
      return z.int({ error }).min(field.min, { error }).max(field.max, { error });
    }
    case 'Float':
      return z.number({ error: 'must be a number' });
    case 'Boolean':
      return z.boolean({ error: 'must be true or false' });
    case 'DateTime': {
      const error = 'must be an instant such as 2030-01-01T00:00:00Z (RFC 3339)';
      const fromText = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
      // RFC 3339 has four digits for the year.
      return z
        .union([z.date(), fromText], { error })
        .refine((date) => date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999, { error: 'must be between the years 0 and 9999' });
    }
    case 'ID':
      return z.string({ error: 'must be an id' });
    case 'Object':
    case 'ObjectList':
      throw new Error(`Fields of the type ${field.type} have no rule.`);
  }
}

type TextRules = Pick<Extract<Field, { type: 'String' }>, 'minLength' | 'maxLength' | 'maxBytes' | 'format' | 'comparedOnly'>;

/** Checks the length first, and the rest only if the length is valid, so that only texts of bounded size are parsed. */
function textRule({ minLength = 1, maxLength, maxBytes, format }: TextRules, error: string) {
  const tooShort = minLength === 1 ? 'must not be empty' : `must be at least ${minLength} characters`;
  const schema = z
    .string({ error })
    .min(minLength, { error: tooShort, abort: true })
    .max(maxLength, { error: `must be at most ${maxLength} characters`, abort: true })
    .refine((text) => !/\p{Surrogate}/u.test(text), { error: 'must be well-formed Unicode', abort: true });
  const rule = format && ruleOfFormat(format);
  const formatted = rule ? schema.refine((text) => rule.accepts(text), { error: rule.message, abort: true }) : schema;
  if (maxBytes === undefined) return formatted;
  return formatted.refine((text) => Buffer.byteLength(text, 'base64') <= maxBytes, { error: `must be at most ${maxBytes} bytes` });
}

const SHOWS_SECRET =
  'must not contain a user name, password or token in a URL or connection string, because everyone who can read this field could read it. Put it into a secret field of a credential';

/** Checks a text that everyone with access to the record can read. */
function readableRule(field: TextRules, error: string) {
  const { format, comparedOnly } = field;
  const checked = textRule(field, error);
  const hides = (text: string) => ![text, ...partsOf(format, text)].some(showsSecret);
  const open = comparedOnly ? checked : checked.refine(hides, { error: SHOWS_SECRET, abort: true });
  return open.transform((text) => standardFormOf(format, text));
}

const MASKED =
  'must not be a mask such as *****, which stands for a secret that is not shown. To keep the stored secret, leave the field out';

/** Checks a secret without unwrapping its value for anyone else. */
function secretRule(field: TextRules): z.ZodType {
  const rule = textRule(field, 'must be text');
  return z
    .instanceof(Redacted, { error: 'must be text' })
    .superRefine((secret, context) => {
      const plain = plainOf(secret);
      // Before the format and the length, because only this message helps.
      if (isShortEnough(plain, field) && isMask(plain)) context.addIssue({ code: 'custom', message: MASKED });
      else for (const message of messagesFor(rule, plain, field.format)) context.addIssue({ code: 'custom', message });
    })
    .transform((secret) => standardFormOf(field.format, secret));
}

function isShortEnough(plain: string, { maxLength }: TextRules): boolean {
  return plain.length <= maxLength;
}

function messagesFor(rule: z.ZodType, plain: string, format: Format | undefined): string[] {
  const { error } = rule.safeParse(plain);
  if (error) return error.issues.map(({ message }) => message);
  if (plain !== '' && isBlank(plain)) return ['must not consist of white space only'];
  return partsOf(format, plain).some(isMaskPart) ? [MASKED] : [];
}

/** Returns the message for a text that has not the format, whichever field it is in. Undefined if it has. */
export function formatIssue(format: Format, value: Redacted | string): string | undefined {
  const { accepts, message } = ruleOfFormat(format);
  return accepts(plainOf(value)) ? undefined : message;
}

/** Returns the text in the form that is stored: the standard form of its format, or else the text itself. */
export function standardFormOf<T extends Redacted | string>(format: Format | undefined, value: T): T {
  const toStandardForm = format && ruleOfFormat(format).standardForm;
  if (!toStandardForm) return value;
  const form = toStandardForm(plainOf(value));
  return (value instanceof Redacted ? new Redacted(form) : form) as T;
}

function partsOf(format: Format | undefined, text: string): readonly string[] {
  return (format && ruleOfFormat(format).parts?.(text)) ?? [];
}

/** Whether a secret is an empty text, which only a few fields accept. */
export function isEmptySecret(secret: Redacted): boolean {
  return plainOf(secret) === '';
}

function plainOf(value: Redacted | string): string {
  return value instanceof Redacted ? value.expose() : value;
}
