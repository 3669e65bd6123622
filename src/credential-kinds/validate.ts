import { z } from 'zod';
import { type Issue, ValidationError } from '../errors.ts';
import { Redacted } from '../redacted.ts';
import { type CredentialKind, GENERATE, type Write } from './define.ts';
import type { Field } from './fields.ts';
import { formats } from './formats.ts';

/** The parts of a stored credential that validation needs. */
export interface StoredParts {
  readonly settings: Record<string, unknown>;
  readonly isSet: Record<string, boolean>;
  readonly facts: Record<string, unknown>;
}

/** A valid write: what to store and what to seal. */
export interface PreparedWrite {
  /** All settings, including unchanged ones. They replace the stored settings. */
  readonly settings: Record<string, unknown>;
  /** All facts, including internal facts. They replace the stored facts. */
  readonly facts: Record<string, unknown>;
  /** The plaintexts to seal, by field. */
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** The secrets to remove. */
  readonly unset: readonly string[];
}

/**
 * Generates the secret that the input asks for and returns its plaintext, or undefined when the input asks for none. Generating a key takes
 * a large part of a second, on another thread: do it before the transaction in which `prepareWrite` is called.
 */
export async function makeSecret(kind: CredentialKind, data: Readonly<Record<string, unknown>>): Promise<string | undefined> {
  return data[GENERATE] === true ? kind.generate?.make() : undefined;
}

/**
 * Validates a create (no `stored`) or a partial update (absent fields are kept, null clears a field) against the kind. A kind that is for
 * input only has no partial updates: its data is complete, and is added to what is stored. `plainMade` is the result of `makeSecret` for
 * this data.
 *
 * @throws ValidationError listing every issue, with paths relative to `data` and without values
 */
export function prepareWrite(
  kind: CredentialKind,
  data: Readonly<Record<string, unknown>>,
  stored?: StoredParts,
  plainMade?: string,
): PreparedWrite {
  // A kind that is for input only is never stored as such, so its data is always complete.
  const isPartial = stored !== undefined && !kind.storedAs;
  const parsed = schemasOf(kind)[isPartial ? 'update' : 'create'].safeParse(data);
  if (!parsed.success)
    throw new ValidationError(parsed.error.issues.map(({ path, message }) => ({ path: path as Issue['path'], message })));

  const values = parsed.data;
  const secretNames = Object.keys(kind.fields).filter((name) => kind.fields[name]?.secret);
  const settingNames = Object.keys(kind.fields).filter((name) => !kind.fields[name]?.secret);
  const secrets = withoutNulls(pick(values, secretNames)) as Record<string, string>;
  const unset = secretNames.filter((name) => values[name] === null);
  const stays = (name: string) => stored?.isSet[name] === true && !unset.includes(name);
  const write: Write = {
    settings: withoutNulls({ ...stored?.settings, ...pick(values, settingNames) }),
    before: stored && withoutNulls(stored.settings),
    secrets,
    isSet: Object.fromEntries(secretNames.map((name) => [name, name in secrets || stays(name)])),
    generated: values[GENERATE] === true,
    facts: stored?.facts ?? {},
  };

  const issues = [...generateIssues(kind, write, unset), ...kind.check(write)];
  if (issues.length > 0) throw new ValidationError(issues);

  const complete = write.generated && kind.generate ? withSecret(write, kind.generate.field, plainMade) : write;
  return {
    settings: complete.settings,
    facts: withoutNulls({ ...complete.facts, ...kind.derive(complete) }),
    secrets: mapValues(complete.secrets, (value) => new Redacted(value)),
    unset,
  };
}

function generateIssues({ generate }: CredentialKind, write: Write, unset: readonly string[]): Issue[] {
  if (!write.generated || !generate) return [];
  const isGiven = generate.field in write.secrets || unset.includes(generate.field);
  return isGiven ? [{ path: [GENERATE], message: `cannot be combined with ${generate.field}` }] : [];
}

function withSecret(write: Write, name: string, plain: string | undefined): Write {
  if (plain === undefined) throw new Error('The requested secret was not generated.');
  return { ...write, secrets: { ...write.secrets, [name]: plain }, isSet: { ...write.isSet, [name]: true } };
}

type Schema = z.ZodType<Record<string, unknown>>;
const schemas = new WeakMap<CredentialKind, { readonly create: Schema; readonly update: Schema }>();

/** Returns the schemas of a kind, which are built on first use. */
function schemasOf(kind: CredentialKind) {
  const known = schemas.get(kind) ?? { create: dataSchema(kind, 'is required'), update: dataSchema(kind, 'cannot be cleared') };
  schemas.set(kind, known);
  return known;
}

/** All messages are our own, because zod's may change. None repeats the input, not even the name of an unknown field. */
function dataSchema(kind: CredentialKind, whenNull: 'is required' | 'cannot be cleared'): Schema {
  const isUpdate = whenNull === 'cannot be cleared';
  const shape = Object.fromEntries(
    Object.entries(kind.fields).map(([name, field]) => {
      const schema = valueSchema(field, whenNull);
      if (field.optional) return [name, schema.nullish()];
      return [name, isUpdate ? schema.optional() : schema];
    }),
  );
  const names = [...Object.keys(shape), ...(kind.generate ? [GENERATE] : [])];
  const unknown = `has a field that ${kind.kind} does not have; its fields are: ${names.join(', ') || 'none'}`;
  return z.strictObject(
    { ...shape, ...(kind.generate && { [GENERATE]: z.boolean('must be true or false').nullish() }) },
    { error: (issue) => (issue.code === 'unrecognized_keys' ? unknown : 'must be an object') },
  );
}

function valueSchema(field: Field, whenNull: string): z.ZodType {
  /** For a value that is missing, null, or of the wrong type. */
  const be =
    (what: string) =>
    ({ input }: { input?: unknown }) => {
      if (input === undefined) return 'is required';
      return input === null ? whenNull : `must be ${what}`;
    };
  switch (field.type) {
    case 'String':
      return textSchema(field, be('text'));
    case 'Choice': {
      const values = field.only ?? Object.keys(field.choices.values);
      return z.enum(values as [string, ...string[]], { error: be(`one of ${values.join(', ')}`) });
    }
    case 'StringList':
      return z
        .array(
          textSchema(field, () => 'must be text'),
          { error: be('a list of texts') },
        )
        .max(field.maxItems, `must have at most ${field.maxItems} items`);
    case 'Int': {
      const error = be(`a whole number from ${field.min} to ${field.max}`);
      return z.int({ error }).min(field.min, { error }).max(field.max, { error });
    }
    case 'Boolean':
      return z.boolean({ error: be('true or false') });
    case 'DateTime': {
      const error = be('a date and time such as 2030-01-01T00:00:00Z (RFC 3339)');
      const fromText = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
      // RFC 3339 allows four digits for the year.
      return z
        .union([z.date(), fromText], { error })
        .refine((date) => date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999, { error: 'must be in the years 0 to 9999' });
    }
  }
}

type TextRules = Pick<Extract<Field, { type: 'String' }>, 'minLength' | 'maxLength' | 'maxBytes' | 'format'>;

/** Checks the length first, and everything else only if the length is valid, so that no parser gets a text of unbounded size. */
function textSchema({ minLength = 1, maxLength, maxBytes, format }: TextRules, error: (issue: { input?: unknown }) => string) {
  const tooShort = minLength === 1 ? 'must not be empty' : `must be at least ${minLength} characters`;
  const schema = z
    .string({ error })
    .min(minLength, { error: tooShort, abort: true })
    .max(maxLength, { error: `must be at most ${maxLength} characters`, abort: true })
    .refine((text) => !/\p{Surrogate}/u.test(text), { error: 'must be well-formed Unicode', abort: true });
  const formatted = format
    ? schema.refine((text) => formats[format].accepts(text), { error: formats[format].message, abort: true })
    : schema;
  if (maxBytes === undefined) return formatted;
  return formatted.refine((text) => Buffer.byteLength(text, 'base64') <= maxBytes, { error: `must be at most ${maxBytes} bytes` });
}

function pick(record: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => name in record).map((name) => [name, record[name]]));
}

function withoutNulls(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null && value !== undefined));
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
