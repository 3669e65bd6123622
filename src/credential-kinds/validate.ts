import { ValidationError } from '../errors.ts';
import { checkChanges, checkInput } from '../fields/check.ts';
import type { Redacted } from '../redacted.ts';
import { type CredentialKind, GENERATE, type Write } from './define.ts';

/** What is stored of a credential that validation needs. */
export interface StoredParts {
  readonly settings: Record<string, unknown>;
  readonly isSet: Record<string, boolean>;
  readonly facts: Record<string, unknown>;
}

/** A write that passed: what to store, what to seal. */
export interface PreparedWrite {
  /** All settings, those that were stored and stay included: replace what is stored with them. */
  readonly settings: Record<string, unknown>;
  /** All facts, internal ones too, likewise. */
  readonly facts: Record<string, unknown>;
  /** The secrets to seal, by field. */
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** The secrets to remove. */
  readonly unset: readonly string[];
}

/** The data of one kind, as a caller gives them: its fields, where a secret is wrapped, and the flag `generatePrivateKey`. */
export type KindData = Readonly<Record<string, unknown>>;

/**
 * The data with the secret in them that they ask the server to make; the same data if they ask for none. To make a key takes a good part of
 * a second, on another thread: call this before the transaction that `prepareWrite` is called in.
 *
 * @throws ValidationError when the secret is given as well
 */
export async function withGeneratedSecret(kind: CredentialKind, data: KindData): Promise<KindData> {
  refuseGivenAndGenerated(kind, data);
  const { generate } = kind;
  return generate && data[GENERATE] === true ? { ...data, [generate.field]: await generate.make() } : data;
}

/** @throws ValidationError when the data hold the secret that they ask the server to make */
export function refuseGivenAndGenerated({ generate }: CredentialKind, data: KindData): void {
  if (!generate || data[GENERATE] !== true || data[generate.field] === undefined) return;
  throw new ValidationError([{ path: [GENERATE], message: `cannot be combined with ${generate.field}` }]);
}

/**
 * Checks a create (no `stored`) or partial update (absent is kept, null is cleared) against the kind. A kind that only comes in has no partial
 * updates: with `stored`, it is added to what is stored. Data that ask for a secret must have passed `withGeneratedSecret`.
 *
 * @throws ValidationError listing every issue, paths relative to `data`, never a value
 */
export function prepareWrite(kind: CredentialKind, { [GENERATE]: flag = null, ...data }: KindData, stored?: StoredParts): PreparedWrite {
  const generated = flag === true;
  if (generated && kind.generate && data[kind.generate.field] === undefined) throw new Error('The secret that is asked for was not made.');
  const isKnown = kind.generate ? flag === null || typeof flag === 'boolean' : flag === null;
  if (!isKnown)
    throw new ValidationError([
      { path: kind.generate ? [GENERATE] : [], message: kind.generate ? 'must be true or false' : unknownMember(kind) },
    ]);
  const values = check(kind, data, stored);
  const secretNames = Object.keys(kind.fields).filter((name) => kind.fields[name]?.secret);
  const settingNames = Object.keys(kind.fields).filter((name) => !kind.fields[name]?.secret);
  const secrets = withoutNulls(pick(values, secretNames)) as Record<string, Redacted>;
  const unset = secretNames.filter((name) => values[name] === null);
  const stays = (name: string) => stored?.isSet[name] === true && !unset.includes(name);
  const write: Write = {
    settings: withoutNulls({ ...stored?.settings, ...pick(values, settingNames) }),
    before: stored && withoutNulls(stored.settings),
    secrets,
    isSet: Object.fromEntries(secretNames.map((name) => [name, name in secrets || stays(name)])),
    generated,
    facts: stored?.facts ?? {},
  };
  const issues = kind.check(write);
  if (issues.length > 0) throw new ValidationError(issues);
  return { settings: write.settings, facts: withoutNulls({ ...write.facts, ...kind.derive(write) }), secrets, unset };
}

/** The values by field, null where one is to be cleared, without those that stay as they are. @throws ValidationError */
function check(kind: CredentialKind, data: KindData, stored: StoredParts | undefined): Record<string, unknown> {
  const options = { unknownMember: unknownMember(kind) };
  // What only comes in is never kept, so it comes in whole.
  if (stored && !kind.storedAs) return checkChanges(kind.fields, data as never, options);
  return pick(checkInput(kind.fields, data as never, options), Object.keys(data));
}

/** Names the fields that there are, and not the one that there is not: that is the caller's word. */
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
