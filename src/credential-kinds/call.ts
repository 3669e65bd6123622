import { CredentialKindError, GatewayError, type Issue } from '../errors.ts';
import type { KeyFiles } from '../key-files/index.ts';
import { Redacted } from '../redacted.ts';
import type { CredentialKind, Write } from './define.ts';
import { factOf } from './fit.ts';

// Calls the functions of a credential kind, which can be an operator's own. What they throw can contain a secret, and what they return is stored or shown: so
// nothing of an error is passed on, and a result is taken only if it is what the function promises.

/** @throws CredentialKindError */
export async function generated({ kind, generate }: CredentialKind, keyFiles: KeyFiles): Promise<Redacted> {
  const result = await called(kind, 'generate.make', () => generate!.make(keyFiles));
  if (!(result instanceof Redacted)) throw new CredentialKindError(kind, 'generate.make', 'returned something else than a secret');
  return result;
}

/** @throws CredentialKindError */
export async function checked(definition: CredentialKind, write: Write, keyFiles: KeyFiles): Promise<readonly Issue[]> {
  const result = await called(definition.kind, 'check', () => definition.check(write, keyFiles));
  if (!Array.isArray(result) || !result.every(isIssue)) {
    throw new CredentialKindError(
      definition.kind,
      'check',
      'returned something else than a list of issues, each with a path and a message',
    );
  }
  return result;
}

/** @throws CredentialKindError */
export async function derived(definition: CredentialKind, write: Write, keyFiles: KeyFiles): Promise<Readonly<Record<string, unknown>>> {
  const { kind, facts = {}, internalFacts = {} } = definition;
  const result: unknown = await called(kind, 'derive', () => definition.derive(write, keyFiles));
  const isFact = ([name, value]: [string, unknown]): boolean => {
    if (value === null || value === undefined) return Object.hasOwn(facts, name) || Object.hasOwn(internalFacts, name);
    if (!Object.hasOwn(facts, name)) return Object.hasOwn(internalFacts, name) && !(value instanceof Redacted);
    const { type } = facts[name]!;
    if (typeof type === 'string') return factOf(type, value) !== null;
    const members = isPlain(value) ? Object.entries(value) : [['', value] as const];
    return members.every(
      ([member, each]) => Object.hasOwn(type.members, member) && (each == null || factOf(type.members[member]!.type, each) !== null),
    );
  };
  if (!isPlain(result) || !Object.entries(result).every(isFact)) {
    throw new CredentialKindError(
      kind,
      'derive',
      'returned something else than facts that the kind declares, with the types that it declares',
    );
  }
  return result;
}

async function called<T>(kind: string, name: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // What the gateway gives it to call has errors of its own, such as that there is no time left.
    if (error instanceof GatewayError) throw error;
    throw new CredentialKindError(kind, name, 'has failed');
  }
}

function isIssue(issue: unknown): boolean {
  const { path, message } = (typeof issue === 'object' && issue !== null ? issue : {}) as Partial<Issue>;
  return typeof message === 'string' && Array.isArray(path) && path.every((step) => typeof step === 'string' || Number.isInteger(step));
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Redacted);
}
