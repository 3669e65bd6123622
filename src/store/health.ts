import type { Conditions } from './extent.ts';
import { date, type Field, list, nullable, object, oneOf, optional } from './fields.ts';

/** Whether a credential or a connection works. The domain describes each. */
export const healthStates = ['UNKNOWN', 'WORKING', 'NEEDS_ATTENTION', 'NEEDS_AUTHORIZATION', 'DISABLED'] as const;
export type HealthState = (typeof healthStates)[number];

/** What can be wrong with a credential or a connection. The domain describes each. */
export const problemCodes = [
  'SECRET_MISSING',
  'SECRET_UNREADABLE',
  'TOKEN_EXPIRED',
  'AUTHORIZATION_LOST',
  'TOKEN_REQUEST_FAILED',
  'RENEWAL_STOPPED',
  'REFUSED',
  'FORBIDDEN',
  'SERVICE_FAILED',
  'UNEXPECTED_ANSWER',
  'NOT_USABLE',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_NOT_YET_VALID',
  'KEY_MISMATCH',
  'ALTERED',
  'CREDENTIAL_MISSING',
  'CREDENTIAL_PROBLEM',
] as const;
export type ProblemCode = (typeof problemCodes)[number];

/** Stands for "never" in an index, so that a list can be sorted by such a time: the last moment that RFC 3339 can write. */
export const NEVER = new Date('9999-12-31T23:59:59.999Z');
/** In `stateChangesAt`: the stored state is not known to be right, and is determined before it is read. */
export const UNSETTLED = new Date(0);

/**
 * The stored health of credentials and connections. The MAC does not cover these fields: they are shown and searched, and decide nothing. So they are
 * written without the version, the times or the rest of a record.
 */
export const healthFields = {
  /** What was learned from the service. Absent or empty if it found nothing wrong, or was not asked. */
  findings: optional(list(object({ code: oneOf(problemCodes), since: date() }))),
  /** When something was learned from the service last. Null or absent if never, since the last change that matters. */
  checkedAt: optional(nullable(date())),
  /** The state until `stateChangesAt`. Absent in records that are older than this field. */
  state: optional(oneOf(healthStates)),
  /** When the state must be determined again. It is right until then. `NEVER` if time alone does not change it. */
  stateChangesAt: optional(date()),
} satisfies Readonly<Record<string, Field<unknown>>>;

export const healthFieldNames = ['findings', 'checkedAt', 'state', 'stateChangesAt'] as const;

/** Returns the events about problems that were found in a record and were not known before. */
export function newFindings(record: WithFindings, before: WithFindings) {
  const known = new Set(before.findings?.map(({ code }) => code));
  return (record.findings ?? [])
    .filter(({ code }) => !known.has(code))
    .map(({ code }) => ({ type: 'CHECK_FAILED', problem: code }) as const);
}
interface WithFindings {
  readonly findings?: readonly { readonly code: ProblemCode }[] | undefined;
}

/** Returns the conditions of records whose stored state is not right, or not known to be right. Each is an interval of one index. */
export function unsettledAt(now: Date): Conditions[] {
  return [{ stateChangesAt: null }, { stateChangesAt: { $lte: now } }];
}
