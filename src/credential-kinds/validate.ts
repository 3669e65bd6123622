import { type Issue, ValidationError } from '../errors.ts';
import { checkAny, type Examined, examine, formatIssue, standardFormOf, withoutRepeated } from '../fields/check.ts';
import { type Format, formats, readAsOf } from '../fields/formats.ts';
import type { KeyFiles } from '../key-files/index.ts';
import { Redacted } from '../redacted.ts';
import { checked, derived, generated } from './call.ts';
import { type CredentialKind, GENERATE, type KindField, type Write } from './define.ts';
import { fitting, misfits } from './fit.ts';
import { redirected } from './redirected.ts';

/** The parts of a stored credential that validation needs. */
export interface StoredParts {
  readonly settings: Record<string, unknown>;
  readonly isSet: Record<string, boolean>;
  readonly facts: Record<string, unknown>;
  /** The required secrets that are still to come. */
  readonly pending: readonly string[];
}

/** A valid write: what to store and what to seal. */
export interface PreparedWrite {
  /** All settings, including unchanged ones. They replace the stored settings. */
  readonly settings: Record<string, unknown>;
  /** All facts, including internal facts. They replace the stored facts. */
  readonly facts: Record<string, unknown>;
  /** The secrets to seal, by field. */
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** The secrets to remove. */
  readonly unset: readonly string[];
  /** The required secrets that are still to come, after this write. */
  readonly pending: readonly string[];
}

/** The input data of one kind: its fields, in which every secret is wrapped, and the flag `generatePrivateKey`. */
export type KindData = Readonly<Record<string, unknown>>;

/**
 * Generates the secret that the data ask for, and returns the data with it in the place of the flag; the same data if they ask for none, or
 * also contain the secret. Generating a key takes a large part of a second, on another thread: do it before the transaction in which
 * `prepareWrite` is called.
 */
export async function withGeneratedSecret(kind: CredentialKind, data: KindData, keyFiles: KeyFiles): Promise<KindData> {
  const { generate } = kind;
  if (!generate || data[GENERATE] !== true || data[generate.field] !== undefined) return data;
  return { ...data, [GENERATE]: await generated(kind, keyFiles) };
}

/**
 * Validates a create (no `stored`) or a partial update (absent fields are kept, null clears a field) against the kind. A kind that is for
 * input only has no partial updates: its data are complete, and are added to what is stored. Data that ask for a secret must have passed
 * `withGeneratedSecret`. What `keyFiles` has read before takes no time: call it before the transaction too, with the same ones.
 *
 * With `isPending`, and if required secrets of what is stored are still to come, a required secret may be absent. All other rules hold.
 *
 * @throws ValidationError listing every issue, with paths relative to `data` and without values
 */
export async function prepareWrite(
  kind: CredentialKind,
  { [GENERATE]: flag = null, ...given }: KindData,
  keyFiles: KeyFiles,
  stored?: StoredParts,
  isPending = false,
): Promise<PreparedWrite> {
  const data = flag instanceof Redacted ? { ...given, [kind.generate!.field]: flag } : given;
  const examined = checkValues(kind, data, stored);
  const mayPend = isPending || (stored?.pending ?? []).length > 0;
  const pending = new Set(stored?.pending);
  /** Takes out what is said about secrets that are still to come: they are not set, and not given. */
  const withoutPending = (found: readonly Issue[], isSet: Readonly<Record<string, boolean>>): Issue[] =>
    found.filter(({ path: [name] }) => {
      const isToCome = mayPend && typeof name === 'string' && kind.fields[name]?.secret && isAbsent(data[name]) && !isSet[name];
      if (isToCome) pending.add(name);
      return !isToCome;
    });
  const issues: Issue[] = [...flagIssues(kind, flag, given), ...withoutPending(examined.issues, stored?.isSet ?? {})];
  issues.push(...(await keyFileIssues(kind, examined.value, issues, keyFiles)));

  // Rules between fields see a field that breaks its own rule as absent, so that they do not judge it again.
  const isValid = (name: string) => !issues.some(({ path }) => path[0] === name);
  // A key that the server generated has its format. If the kind has no use for it, `check` says so.
  const made = flag instanceof Redacted ? [kind.generate!.field] : [];
  const valid = pick(examined.value, Object.keys(examined.value).filter(isValid));
  const decided = await checkDecidedFormats(kind, valid, made, stored, keyFiles);
  issues.push(...decided.issues);
  const values = pick(decided.values, Object.keys(decided.values).filter(isValid));
  const secretNames = Object.keys(kind.fields).filter((name) => kind.fields[name]?.secret);
  const settingNames = Object.keys(kind.fields).filter((name) => !kind.fields[name]?.secret);
  const secrets = withoutNulls(pick(values, secretNames)) as Record<string, Redacted>;
  const unset = secretNames.filter((name) => values[name] === null);
  // A kind that is for input only replaces all of what is stored, which has the fields of another kind.
  const own = kind.storedAs ? undefined : stored?.settings;
  // What does not fit the kind any more is left out. Something must take its place, unless it can be absent.
  const kept = withoutNulls(own ? fitting(kind, own) : (stored?.settings ?? {}));
  for (const name of own ? misfits(kind, { ...own, ...pick(values, settingNames) }) : []) {
    const { secret, optional } = kind.fields[name]!;
    if (!isValid(name) || (secret && (optional || name in secrets))) continue;
    issues.push({ path: [name], message: 'needs a new value: the stored one does not fit the kind any more' });
  }
  const stays = (name: string) => stored?.isSet[name] === true && !unset.includes(name);
  const write: Write = {
    settings: withoutNulls({
      ...pick(kept, Object.keys(kept).filter(isValid)),
      ...pick(values, settingNames),
    }),
    before: stored && kept,
    secrets,
    isSet: Object.fromEntries(secretNames.map((name) => [name, name in secrets || stays(name)])),
    generated: flag === true || flag instanceof Redacted,
    facts: stored?.facts ?? {},
  };
  const broken = [...(await checked(kind, write, keyFiles)), ...redirected(write, kind.destinations ?? [])];
  issues.push(...withoutRepeated(withoutPending(broken, write.isSet), issues));
  if (kind.refusal) issues.push({ path: [], message: kind.refusal });
  if (issues.length > 0) throw new ValidationError(inOrder(kind, issues));
  const facts = withoutNulls({ ...write.facts, ...(await derived(kind, write, keyFiles)) });
  return { settings: write.settings, facts, secrets, unset, pending: [...pending].filter((name) => !write.isSet[name]).sort() };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

/** Checks the single fields of a partial update, when what is stored is not known. @throws ValidationError */
export function checkForm(kind: CredentialKind, { [GENERATE]: _flag, ...given }: KindData): void {
  checkAny(kind.fields, given, 'update', { unknownMember: unknownMember(kind) });
}

/** Returns what is wrong with the flag `generatePrivateKey`. */
function flagIssues(kind: CredentialKind, flag: unknown, given: KindData): Issue[] {
  if (flag === null || flag === false) return [];
  if (!kind.generate) return [{ path: [], message: unknownMember(kind) }];
  if (flag !== true && !(flag instanceof Redacted)) return [{ path: [GENERATE], message: 'must be true or false' }];
  if (given[kind.generate.field] !== undefined) return [{ path: [GENERATE], message: `cannot be combined with ${kind.generate.field}` }];
  if (flag === true) throw new Error('The secret that the data ask for was not generated.');
  return [];
}

/** Sorts issues by the order of the fields. */
function inOrder({ fields }: CredentialKind, issues: readonly Issue[]): Issue[] {
  const order = Object.keys(fields);
  return issues.toSorted((a, b) => order.indexOf(String(a.path[0])) - order.indexOf(String(b.path[0])));
}

/** Whether a write of the kind can read key files, which takes time. */
export function readsKeyFiles({ fields, readsKeyFiles: alsoReads }: CredentialKind): boolean {
  return alsoReads === true || Object.values(fields).some((field) => formatsOf(field).some((format) => readAsOf(format)));
}

/** Returns the formats that a field can have. */
function formatsOf(field: KindField): Format[] {
  const decided = 'formatBy' in field && field.formatBy ? Object.values(field.formatBy.formats) : [];
  return 'format' in field && field.format ? [field.format, ...decided] : decided;
}

/**
 * Checks the fields whose format another setting decides, and gives them the standard form of that format. A setting that this write does not
 * contain is checked too if the format that it must have changes. The `trusted` fields are not checked.
 */
async function checkDecidedFormats(
  { fields }: CredentialKind,
  given: Readonly<Record<string, unknown>>,
  trusted: readonly string[],
  stored: StoredParts | undefined,
  keyFiles: KeyFiles,
): Promise<{ readonly values: Record<string, unknown>; readonly issues: Issue[] }> {
  const values = { ...given };
  const issues: Issue[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const { setting, formats: bySetting } = ('formatBy' in field && field.formatBy) || {};
    if (setting === undefined || trusted.includes(name)) continue;
    const before = stored?.settings[setting];
    const decisive = given[setting] ?? before;
    const format = typeof decisive === 'string' ? bySetting?.[decisive] : undefined;
    const value = name in given ? given[name] : decisive === before ? undefined : stored?.settings[name];
    if (!format || !(typeof value === 'string' || value instanceof Redacted)) continue;
    const form = standardFormOf(format, value);
    const readAs = readAsOf(format);
    let message = formatIssue(format, value);
    if (!message && readAs && !(await keyFiles.read(readAs, form))) message = formats[format].message;
    if (message) issues.push({ path: [name], message: `${message}, because ${setting} is ${decisive}` });
    else values[name] = form;
  }
  return { values, issues };
}

/** Reads the key files of the fields in which nothing else is wrong. */
async function keyFileIssues(kind: CredentialKind, values: KindData, known: readonly Issue[], keyFiles: KeyFiles): Promise<Issue[]> {
  const issues: Issue[] = [];
  for (const [name, field] of Object.entries(kind.fields)) {
    const format = 'format' in field ? field.format : undefined;
    const readAs = readAsOf(format);
    if (!readAs || known.some(({ path }) => path[0] === name)) continue;
    for (const { text, path } of textsIn(values[name], name)) {
      if (!(await keyFiles.read(readAs, text))) issues.push({ path, message: formats[format!].message });
    }
  }
  return issues;
}

/** The valid value of a text or of a list of texts. */
function textsIn(value: unknown, name: string): { readonly text: Redacted | string; readonly path: (string | number)[] }[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map((text, index) => ({ text, path: [name, index] }));
  return [{ text: value as Redacted | string, path: [name] }];
}

/** Returns the values by field, null for a field to clear, without the fields that do not change; and what is wrong with single fields. */
function checkValues(kind: CredentialKind, data: KindData, stored: StoredParts | undefined): Examined {
  const options = { unknownMember: unknownMember(kind) };
  // A kind that is for input only is never stored as such, so its data are always complete.
  if (stored && !kind.storedAs) return examine(kind.fields, data, 'update', options);
  const { value, issues } = examine(kind.fields, data, 'create', options);
  return { value: pick(value, Object.keys(data)), issues };
}

/** Names the fields of the kind, and not the unknown field: its name is the caller's text. */
function unknownMember({ kind, fields, generate }: CredentialKind): string {
  const names = [...Object.keys(fields), ...(generate ? [GENERATE] : [])];
  return `has a field that ${kind} does not have; it has ${names.join(', ') || 'none'}`;
}

function pick(record: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => name in record).map((name) => [name, record[name]]));
}

function withoutNulls(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null && value !== undefined));
}
