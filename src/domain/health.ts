import type { ConnectionRecord } from '../store/connection.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { Expiring } from '../store/event-forms.ts';
import { type HealthState, NEVER, type ProblemCode, UNSETTLED } from '../store/health.ts';
import { isSameValue } from './same-value.ts';

export { type HealthState, healthStates, NEVER, type ProblemCode, problemCodes } from '../store/health.ts';

/** Something that is wrong. */
export interface Problem {
  readonly code: ProblemCode;
  /** Since when; null if unknown. */
  readonly since: Date | null;
}

/** What is known about a credential or a connection at a moment. */
export interface Health {
  readonly state: HealthState;
  readonly problems: readonly Problem[];
  /** When something was learned from the service last. Null if never, since the last change that matters. */
  readonly checkedAt: Date | null;
  /** Until when this is so, if nobody does anything. `NEVER` if time does not change it. */
  readonly changesAt: Date;
}

/** What each state means. */
export const stateDescriptions: Readonly<Record<HealthState, string>> = {
  UNKNOWN:
    'Nothing is known to be wrong, and it was not used or checked since its last change that matters. Whether its configuration permits requests, `Connection.requestPlan` says.',
  WORKING: 'Nothing is known to be wrong, and it worked when it was last used or checked.',
  NEEDS_ATTENTION: 'Something is wrong. `problems` says what.',
  NEEDS_AUTHORIZATION: 'A person must consent again: the tokens have ended and cannot be renewed.',
  DISABLED: 'It is disabled, or a credential of the connection is.',
};

/** What each problem is, for people. */
export const problemMessages: Readonly<Record<ProblemCode, string>> = {
  SECRET_MISSING: 'A required secret is not set. `updateCredential` sets it.',
  SECRET_UNREADABLE:
    'A secret cannot be opened, for example because the gateway runs with other master keys than those under which it was sealed. `updateCredential` sets it again.',
  TOKEN_EXPIRED:
    'The access token has expired, and there is no refresh token. A person must consent again (`startAuthorization` with the connection), or `updateCredential` sets another token.',
  AUTHORIZATION_LOST:
    'The service does not renew the tokens any more. A person must consent again: `startAuthorization` with the connection returns where.',
  TOKEN_REQUEST_FAILED: 'Tokens could not be obtained or refreshed. The gateway tries again.',
  RENEWAL_STOPPED:
    'The tokens are not renewed any more, because the auth scheme or its client (`clientCredentialId`) was deleted or cannot be used.',
  REFUSED: 'The service refuses the credential (401), or says that its token is not active.',
  FORBIDDEN: 'The service does not allow the request (403).',
  SERVICE_FAILED:
    'The service could not be reached, or failed. Its name must lead to public addresses, or to those that the setting `OUTBOUND_ALLOWED_ADDRESSES` allows.',
  UNEXPECTED_ANSWER: 'The service did not answer the check as expected.',
  NOT_USABLE:
    'When it was checked, its configuration permitted no request. `requestPlan` of the connection says what is wrong now; `checkConnection` checks it again.',
  CERTIFICATE_EXPIRED: 'The certificate has expired.',
  CERTIFICATE_NOT_YET_VALID: 'The certificate is not valid yet.',
  KEY_MISMATCH: 'The private key does not belong to the certificate.',
  ALTERED: 'The stored credential was changed, but not by the gateway. It is not used, and only its common fields are shown.',
  CREDENTIAL_MISSING: 'A credential of the connection has expired or was deleted, or this gateway does not know its kind.',
  CREDENTIAL_PROBLEM: 'A credential of the connection that you cannot see has a problem.',
};

/** The problems that only a new consent ends. */
const consentEnds: ReadonlySet<ProblemCode> = new Set(['TOKEN_EXPIRED', 'AUTHORIZATION_LOST']);

/** The facts of a certificate, under whatever name a kind has them. */
interface CertificateFacts {
  readonly notBefore?: unknown;
  readonly notAfter?: unknown;
  readonly keyMatches?: unknown;
}

/** A time at which something begins to be wrong, or ends to be. */
interface Interval {
  readonly code: ProblemCode;
  readonly from: Date | null;
  readonly until: Date | null;
}

/**
 * Returns the health of a credential at a moment. It follows from the record alone: nothing is opened and nobody is asked. A credential whose
 * `expiresAt` has passed has none, because nobody finds it.
 */
export function credentialHealth(record: CredentialRecord, now: Date): Health {
  if (record.isAltered)
    return { state: 'NEEDS_ATTENTION', problems: [{ code: 'ALTERED', since: null }], checkedAt: null, changesAt: NEVER };
  const problems: Problem[] = [];
  const changes: Date[] = [];
  for (const { code, from, until } of intervalsOf(record)) {
    if ((from === null || from <= now) && (until === null || until > now)) problems.push({ code, since: from });
    for (const time of [from, until]) if (time !== null && time > now) changes.push(time);
  }
  if (record.pendingSecrets?.length) problems.unshift({ code: 'SECRET_MISSING', since: record.createdAt });
  for (const finding of record.findings ?? []) if (!problems.some(({ code }) => code === finding.code)) problems.push({ ...finding });
  const checkedAt = record.checkedAt ?? null;
  return { state: stateOf(record.enabled, problems, checkedAt), problems, checkedAt, changesAt: earliest(changes) };
}

/** Returns when a credential stops working by time alone: it is deleted, or its certificate or its last token expires. `NEVER` if not. */
export function runsOutAt(record: CredentialRecord): Date {
  const ends = intervalsOf(record).flatMap(({ from, until }) => (from !== null && until === null ? [from] : []));
  return earliest(record.expiresAt ? [...ends, record.expiresAt] : ends);
}

/** Returns what of a credential expires when: the credential itself, its certificates, and its token if nobody can renew it. */
export function expiriesOf(record: CredentialRecord): { readonly what: Expiring; readonly at: Date }[] {
  const expiries: { readonly what: Expiring; readonly at: Date }[] = record.expiresAt ? [{ what: 'CREDENTIAL', at: record.expiresAt }] : [];
  for (const { code, from } of intervalsOf(record)) {
    if (from === null) continue;
    if (code === 'CERTIFICATE_EXPIRED') expiries.push({ what: 'CERTIFICATE', at: from });
    if (code === 'TOKEN_EXPIRED') expiries.push({ what: 'TOKEN', at: from });
  }
  return expiries;
}

/** Returns what is wrong with a credential at which times, as far as its record tells. */
function intervalsOf({ facts, settings, secrets, ...record }: CredentialRecord): Interval[] {
  const intervals: Interval[] = [];
  for (const fact of Object.values(facts)) {
    if (typeof fact !== 'object' || fact === null) continue;
    const { notBefore, notAfter, keyMatches } = fact as CertificateFacts;
    if (isTime(notAfter)) intervals.push({ code: 'CERTIFICATE_EXPIRED', from: notAfter, until: null });
    if (isTime(notBefore)) intervals.push({ code: 'CERTIFICATE_NOT_YET_VALID', from: null, until: notBefore });
    if (keyMatches === false) intervals.push({ code: 'KEY_MISMATCH', from: null, until: null });
  }
  // Only such tokens end that nobody can renew.
  const { accessTokenExpiresAt } = settings as { readonly accessTokenExpiresAt?: unknown };
  if (isTime(accessTokenExpiresAt) && 'accessToken' in secrets && !('refreshToken' in secrets)) {
    intervals.push({ code: 'TOKEN_EXPIRED', from: accessTokenExpiresAt, until: null });
  }
  const { token } = record;
  if (token?.failure === 'AUTHORIZATION_LOST' || token?.failure === 'RENEWAL_STOPPED') {
    intervals.push({ code: token.failure, from: null, until: null });
  }
  return intervals;
}

/**
 * Whether no valid token is left, and only a new consent can give one. It follows from what the MAC covers, because it decides something: findings do
 * not count.
 */
export function needsAuthorization(record: CredentialRecord, now: Date): boolean {
  return intervalsOf(record).some(
    ({ code, from, until }) => consentEnds.has(code) && (from === null || from <= now) && (until === null || until > now),
  );
}

function isTime(value: unknown): value is Date {
  return value instanceof Date && !Number.isNaN(value.getTime());
}

function earliest(times: readonly Date[]): Date {
  return times.reduce((first, time) => (time < first ? time : first), NEVER);
}

function stateOf(isEnabled: boolean, problems: readonly Problem[], checkedAt: Date | null): HealthState {
  if (!isEnabled) return 'DISABLED';
  if (problems.some(({ code }) => consentEnds.has(code))) return 'NEEDS_AUTHORIZATION';
  if (problems.length > 0) return 'NEEDS_ATTENTION';
  return checkedAt === null ? 'UNKNOWN' : 'WORKING';
}

/** A problem of a connection, and the credential that it is a problem of. */
export interface ConnectionProblem extends Problem {
  /** Null if it is a problem of the connection itself. */
  readonly credentialId: string | null;
}

export interface ConnectionHealth extends Health {
  readonly problems: readonly ConnectionProblem[];
}

/** The states of credentials, from the one that decides the state of a connection first. */
const order = ['DISABLED', 'NEEDS_AUTHORIZATION', 'NEEDS_ATTENTION'] as const satisfies HealthState[];

/**
 * Returns the health of a connection at a moment. It has every problem of each of its credentials. It works if it was found to work itself, or if
 * each of its credentials was. `credentialOf` returns a credential, if reads find it.
 */
export function connectionHealth(
  connection: ConnectionRecord,
  credentialOf: (id: string) => CredentialRecord | undefined,
  now: Date,
): ConnectionHealth {
  const changes: Date[] = [];
  const problems: ConnectionProblem[] = (connection.findings ?? []).map((finding) => ({ ...finding, credentialId: null }));
  const states: HealthState[] = problems.length > 0 ? [stateOf(true, problems, null)] : [];
  const checks: (Date | null)[] = [];
  for (const credentialId of connection.credentialIds) {
    const credential = credentialOf(credentialId);
    if (!credential) {
      problems.push({ code: 'CREDENTIAL_MISSING', since: null, credentialId });
      states.push('NEEDS_ATTENTION');
      continue;
    }
    const health = credentialHealth(credential, now);
    states.push(health.state);
    checks.push(health.checkedAt);
    problems.push(...health.problems.map((problem) => ({ ...problem, credentialId })));
    changes.push(health.changesAt, ...(credential.expiresAt && !credential.isAltered ? [credential.expiresAt] : []));
  }
  const decisive = order.find((state) => states.includes(state));
  const checkedAt = connection.checkedAt ?? null;
  const isChecked = checkedAt !== null || (checks.length > 0 && checks.every((each) => each !== null));
  return { state: decisive ?? (isChecked ? 'WORKING' : 'UNKNOWN'), problems, checkedAt, changesAt: earliest(changes) };
}

/** Returns the stored form of a state. */
export function stored({ state, changesAt }: Health) {
  return { state, stateChangesAt: changesAt };
}

/** The fields of a credential that a finding is about: after they have changed, nothing is known from the service. */
const used = ['settings', 'secrets'] as const satisfies (keyof CredentialRecord)[];
/** The same, of a connection. */
const usedOfConnection = [
  'actionCredentials',
  'triggerCredentials',
  'allowedDomain',
  'variables',
] as const satisfies (keyof ConnectionRecord)[];

const UNCHECKED = { findings: [], checkedAt: null } as const;

/**
 * Returns the health of a credential that is written. If it changes the state of connections, they are told later, and before anybody searches by
 * their state. A write that gives `checkedAt` says itself what was learned, about what it writes.
 */
export function derivedHealth(now: () => Date) {
  return (record: CredentialRecord, before: CredentialRecord | null): Partial<CredentialRecord> => {
    const isGiven = record.checkedAt && record.checkedAt !== before?.checkedAt;
    const isOther = before !== null && !isGiven && used.some((field) => !isSameValue(record[field], before[field]));
    const known = isOther ? { ...record, ...UNCHECKED } : record;
    const following = { ...stored(credentialHealth(known, now())), runsOutAt: runsOutAt(known) };
    const isSpread = before === null || (!isOther && isSameForConnections({ ...record, ...following }, before));
    return { ...(isOther && UNCHECKED), ...following, ...(!isSpread && { isUnspread: true }) };
  };
}

/** Whether a change of a credential changes nothing for the stored states of its connections. */
export function isSameForConnections(record: CredentialRecord, before: CredentialRecord): boolean {
  const told = ['state', 'stateChangesAt', 'expiresAt'] as const;
  // They show when they were checked themselves. Of their credentials, they only know whether each was.
  const isChecked = ({ checkedAt = null }: CredentialRecord) => checkedAt !== null;
  return isChecked(record) === isChecked(before) && told.every((field) => isSameValue(record[field] ?? null, before[field] ?? null));
}

/** Returns the health of a connection that is written: its state follows from its credentials, which are read later. */
export function derivedConnectionHealth(record: ConnectionRecord, before: ConnectionRecord | null): Partial<ConnectionRecord> {
  const isOther = before !== null && usedOfConnection.some((field) => !isSameValue(record[field], before[field]));
  return before === null || isOther ? { ...(isOther && UNCHECKED), stateChangesAt: UNSETTLED } : {};
}
