import { expect } from 'vitest';
import type { CredentialKind, KindField } from '../../src/credential-kinds/define.ts';
import { exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { type PreparedWrite, prepareWrite as prepareWrapped, type StoredParts } from '../../src/credential-kinds/validate.ts';
import { type Issue, ValidationError } from '../../src/errors.ts';
import { createKeyFiles } from '../../src/key-files/index.ts';
import { runTask } from '../../src/key-files/tasks.ts';
import { Redacted } from '../../src/redacted.ts';
import { credentialKinds, kindOf } from '../kinds.ts';
import { ed25519 } from './key-examples.ts';

/** The kind of that name, which must exist. */
export function kindNamed(name: string): CredentialKind {
  const kind = kindOf(name);
  if (!kind) throw new Error(`There is no kind ${name}.`);
  return kind;
}

/** What a front end would send to create a credential of this kind: the examples of its fields. */
export function exampleData(kind: CredentialKind, which: 'all' | 'required' = 'all'): Record<string, unknown> {
  const fields = Object.entries(kind.fields).filter(([, field]) => which === 'all' || !field.optional);
  return Object.fromEntries(fields.map(([name, field]) => [name, field.example]));
}

/** The data as the schema hands them on: each secret that is text is wrapped. */
export function wrapped(kind: CredentialKind, data: Record<string, unknown>): Record<string, unknown> {
  const wrap = ([name, value]: [string, unknown]) => [
    name,
    kind.fields[name]?.secret && typeof value === 'string' ? new Redacted(value) : value,
  ];
  return Object.fromEntries(Object.entries(data).map(wrap));
}

/** Reads key files with what the workers run, on this thread. */
export const keyFilesHere = () => createKeyFiles(async (task) => runTask(task));

/** What becomes of a write that holds plain secrets, or asks for one, which is then always the same. */
export async function prepareWrite(
  kind: CredentialKind,
  data: Record<string, unknown>,
  stored?: StoredParts,
  isPending = false,
): Promise<PreparedWrite> {
  const isAsked = kind.generate && data.generatePrivateKey === true && data[kind.generate.field] === undefined;
  const made = isAsked ? { generatePrivateKey: new Redacted(kind.kind === 'git' ? ed25519.plainKey : exampleRsaKey) } : {};
  // The contract of its fields holds for a kind that is refused at present, too. `refusal` itself is tested through the gateway.
  return prepareWrapped({ ...kind, refusal: undefined }, wrapped(kind, { ...data, ...made }), keyFilesHere(), stored, isPending);
}

/** What would be stored after this write. */
export function storedAfter(write: PreparedWrite, before?: StoredParts): StoredParts {
  const set = Object.keys(write.secrets).map((name) => [name, true]);
  const unset = write.unset.map((name) => [name, false]);
  const isSet = { ...before?.isSet, ...Object.fromEntries([...set, ...unset]) };
  return { settings: write.settings, facts: write.facts, isSet, pending: write.pending };
}

/** A stored credential of this kind, made from its examples and from `data`. */
export async function storedExample(kind: CredentialKind, data: Record<string, unknown> = {}): Promise<StoredParts> {
  return storedAfter(await prepareWrite(kind, { ...exampleData(kind), ...data }));
}

/** The issues with which this write is refused. It must be refused, and with a ValidationError. */
export async function issuesOf(kind: CredentialKind, data: Record<string, unknown>, stored?: StoredParts): Promise<readonly Issue[]> {
  return (await errorOf(kind, data, stored)).issues;
}

export async function errorOf(kind: CredentialKind, data: Record<string, unknown>, stored?: StoredParts): Promise<ValidationError> {
  try {
    await prepareWrite(kind, data, stored);
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    return error as ValidationError;
  }
  throw new Error(`${kind.kind} took what it should refuse in ${Object.keys(data).join(', ')}.`);
}

/** Every field of every kind, for `it.each`. */
export const everyField: { at: string; kind: CredentialKind; name: string; field: KindField }[] = credentialKinds.flatMap((kind) =>
  Object.entries(kind.fields).map(([name, field]) => ({ at: `${kind.kind}.${name}`, kind, name, field })),
);

/** A text of that length which has the form that the field asks for. */
export function textOfLength(field: Extract<KindField, { type: 'String' }>, length: number): string {
  const { format, example = '' } = field;
  if (length <= example.length) return example.slice(0, length);
  switch (format) {
    case 'base64':
      return 'A'.repeat(length);
    case 'json':
      return example.padEnd(length, ' ');
    case 'pemCertificates':
    case 'pemPrivateKey':
      return example.padEnd(length, '\n');
    case 'host':
    case 'hostname':
      return `${'a'.repeat(61)}.`.repeat(length).slice(0, length);
    case 'email':
      return `ada@${`${'a'.repeat(61)}.`.repeat(length)}`.slice(0, length);
    case 'duration':
      return 's'.padStart(length, '1');
    default:
      return example.padEnd(length, 'a');
  }
}
