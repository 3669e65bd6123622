import { createHash } from 'node:crypto';
import { z } from 'zod';

// The lines of an export: JSON texts, one each. The members that hold references and the outer form are checked here; the values are checked by the
// functions that write them.

/** The version of the form of the lines. */
export const TRANSFER_VERSION = 1;

/** The maximum depth of objects and lists in a line. The deepest that the gateway writes are the members of a scheme. */
const DEPTH_MAX = 32;

const reference = z.string().min(1).max(255);
const anything = z.unknown().optional();
const bindings = z.array(z.strictObject({ credential: reference, authScheme: z.record(z.string(), z.unknown()).nullish() })).max(100);

const forms = {
  header: z.strictObject({ type: z.literal('header'), version: z.literal(TRANSFER_VERSION), secrets: z.enum(['none', 'sealed']) }),
  integration: z.strictObject({
    type: z.literal('integration'),
    name: reference,
    description: anything,
    ssoClaims: anything,
    expiryNotices: anything,
  }),
  endUser: z.strictObject({
    type: z.literal('endUser'),
    integration: reference,
    externalId: reference,
    displayName: anything,
    contacts: z
      .array(z.looseObject({ type: reference, emailVerified: z.boolean().optional() }))
      .max(100)
      .nullish(),
  }),
  credential: z.strictObject({
    type: z.literal('credential'),
    integration: reference,
    /** Stands for the credential in other lines of the file. */
    reference,
    endUser: reference.nullish(),
    name: anything,
    description: anything,
    enabled: anything,
    expiresAt: z.iso.datetime({ offset: true }).nullish(),
    allowedDomains: anything,
    allowedPurposes: anything,
    /** Whether required secrets are still to come. */
    pending: anything,
    kind: reference,
    settings: z.record(z.string(), z.unknown()),
    /** Each secret that is set: sealed, or null in a file without secrets. */
    secrets: z.record(z.string(), z.string().nullable()),
    /** Which of them an end user has written. Absent without any. */
    byEndUser: z.array(reference).max(100).optional(),
  }),
  connector: z.strictObject({
    type: z.literal('connector'),
    integration: reference,
    name: reference,
    description: anything,
    baseUrl: anything,
    endUsersMayUseClient: anything,
    check: anything,
    authSchemes: z.array(z.record(z.string(), z.unknown())).max(100).nullish(),
  }),
  connection: z.strictObject({
    type: z.literal('connection'),
    integration: reference,
    connector: reference.nullish(),
    endUser: reference.nullish(),
    name: reference,
    /** Whether it is the primary connection of its end user. */
    isPrimary: z.literal(true).optional(),
    allowedDomain: anything,
    baseUrl: anything,
    variables: anything,
    actionCredentials: bindings.nullish(),
    triggerCredentials: bindings.nullish(),
  }),
  /** The last line, so that a file that ends too early is recognized. */
  end: z.strictObject({ type: z.literal('end'), lines: z.int().nonnegative() }),
};

type Forms = typeof forms;
export type LineType = keyof Forms;
/** A line of an export, by its type. */
export type LineOf<T extends LineType> = z.infer<Forms[T]>;
export type Line = { [T in LineType]: LineOf<T> }[LineType];
/** The types of the lines that stand for a record. */
export type RecordType = Exclude<LineType, 'header' | 'end'>;

/** Where a secret stands in a file, and what it is bound to. */
export interface SecretPlace {
  readonly reference: string;
  readonly field: string;
  readonly binding: string;
}

/**
 * Returns the place of a secret of a line. Its binding is a digest of what decides where and when the secret may be used. The order of members has no
 * meaning in JSON, so they are sorted.
 */
export function placeOf(line: LineOf<'credential'>, field: string): SecretPlace {
  const {
    reference,
    integration,
    endUser = null,
    kind,
    settings,
    allowedDomains,
    allowedPurposes,
    enabled = null,
    expiresAt = null,
    byEndUser,
  } = line;
  // Undefined stands in no JSON, so it changes nothing in files that do not have it.
  const bound = { integration, endUser, kind, settings, allowedDomains, allowedPurposes, enabled, expiresAt, byEndUser };
  const text = JSON.stringify(bound, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );
  return { reference, field, binding: createHash('sha256').update(text).digest('base64url') };
}

/** Whether a text has the form of a compact JWE (RFC 7516, section 7.1). Its header is a JSON object. */
export function isSealed(text: string): boolean {
  return /^eyJ[\w-]+\.[\w-]*\.[\w-]+\.[\w-]*\.[\w-]+$/.test(text);
}

/** A line that cannot be read. The message says why, without anything that stands in the line. */
export class LineError extends Error {}

/** Reads a line. @throws LineError */
export function parseLine(text: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LineError('is not JSON');
  }
  refuseStructure(value, DEPTH_MAX);
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
  if (typeof type !== 'string' || !Object.hasOwn(forms, type)) throw new LineError(`has no type: one of ${Object.keys(forms).join(', ')}`);
  const form = forms[type as LineType];
  const { data, error } = form.safeParse(value);
  if (data) return data;
  const known = [...new Set(error.issues.map(({ path }) => String(path[0] ?? '')))].filter((name) => Object.hasOwn(form.shape, name));
  throw new LineError(
    known.length > 0 ? `has a wrong value: ${known.join(', ')}` : `has members that a line of the type ${type} does not have`,
  );
}

/** Refuses what cannot be processed as it is: values nested so deep that a recursion would fail, and the member that assignments drop. @throws LineError */
function refuseStructure(value: unknown, depthLeft: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depthLeft === 0) throw new LineError('is nested too deep');
  if (Object.hasOwn(value, '__proto__')) throw new LineError('has a member with a name that no member can have');
  for (const member of Object.values(value)) refuseStructure(member, depthLeft - 1);
}
