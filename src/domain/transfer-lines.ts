import { z } from 'zod';

// The lines of an export: JSON texts, one each. The members that hold references and the outer form are checked here; the values are checked by the
// functions that write them.

/** The version of the form of the lines. */
export const TRANSFER_VERSION = 1;

const reference = z.string().min(1).max(255);
const anything = z.unknown().optional();
const bindings = z.array(z.strictObject({ credential: reference, authScheme: z.record(z.string(), z.unknown()).nullish() })).max(100);

const forms = {
  header: z.strictObject({ type: z.literal('header'), version: z.literal(TRANSFER_VERSION), secrets: z.enum(['none', 'sealed']) }),
  integration: z.strictObject({ type: z.literal('integration'), name: reference, description: anything, ssoClaims: anything }),
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
    kind: reference,
    settings: z.record(z.string(), z.unknown()),
    /** Each secret that is set: sealed, or null in a file without secrets. */
    secrets: z.record(z.string(), z.string().nullable()),
  }),
  connector: z.strictObject({
    type: z.literal('connector'),
    integration: reference,
    name: reference,
    description: anything,
    baseUrl: anything,
    endUsersMayUseClient: anything,
    authSchemes: z.array(z.record(z.string(), z.unknown())).max(100).nullish(),
  }),
  connection: z.strictObject({
    type: z.literal('connection'),
    integration: reference,
    connector: reference.nullish(),
    endUser: reference.nullish(),
    name: reference,
    allowedDomain: anything,
    variables: anything,
    actionCredentials: bindings.nullish(),
    triggerCredentials: bindings.nullish(),
  }),
};

type Forms = typeof forms;
export type LineType = keyof Forms;
/** A line of an export, by its type. */
export type LineOf<T extends LineType> = z.infer<Forms[T]>;
export type Line = { [T in LineType]: LineOf<T> }[LineType];

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
  const type = typeof value === 'object' && value !== null && 'type' in value ? String(value.type) : '';
  if (!Object.hasOwn(forms, type)) throw new LineError(`has no type: one of ${Object.keys(forms).join(', ')}`);
  const form = forms[type as LineType];
  const { data, error } = form.safeParse(value);
  if (data) return data;
  const known = [...new Set(error.issues.map(({ path }) => String(path[0] ?? '')))].filter((name) => name in form.shape);
  throw new LineError(
    known.length > 0 ? `has a wrong value: ${known.join(', ')}` : `has members that a line of the type ${type} does not have`,
  );
}
