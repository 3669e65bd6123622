import type { NounName } from '../access/nouns.ts';
import { actor } from './actor.ts';
import { boolean, date, nullable, number, object, oneOf, text, type ValuesOf } from './fields.ts';
import { healthStates, problemCodes } from './health.ts';

/** The nouns whose objects have events. */
export const eventNouns = ['integration', 'connector', 'endUser', 'connection', 'credential', 'apiKey', 'webhook'] as const;
export type EventNoun = (typeof eventNouns)[number];

/** What happens to objects. The schema describes each. */
export const eventTypes = [
  'CREATED',
  'UPDATED',
  'DELETED',
  'STATE_CHANGED',
  'TOKENS_REFRESHED',
  'REFRESH_FAILED',
  'CHECK_FAILED',
  'ABOUT_TO_EXPIRE',
  'SECRET_REPLACED',
  'SECRET_REVEALED',
  'FIRST_USED',
] as const;
export type EventType = (typeof eventTypes)[number];

/** Why an object was deleted. */
export const deletionReasons = ['REQUESTED', 'EXPIRED', 'CASCADE'] as const;
export type DeletionReason = (typeof deletionReasons)[number];

/** What expires. */
export const expiring = ['CREDENTIAL', 'CERTIFICATE', 'TOKEN'] as const;
export type Expiring = (typeof expiring)[number];

/** An object as it was: ids, flags, times and counts, and the name of its kind. Neither secrets nor any text that a caller has chosen. */
const snapshotFields = {
  version: number(),
  createdAt: date(),
  updatedAt: date(),
  kind: nullable(text()),
  enabled: nullable(boolean()),
  expiresAt: nullable(date()),
  lastUsedAt: nullable(date()),
  connectorId: nullable(text()),
  /** How many credentials it uses. */
  credentialCount: nullable(number()),
};
export interface Snapshot extends ValuesOf<typeof snapshotFields> {}

/** What has happened to an object, as the store notes it. */
const happeningFields = {
  type: oneOf(eventTypes),
  objectNoun: oneOf(eventNouns),
  objectId: text(),
  /** The integration and the end user that it belongs to. Null if to none, or if nothing proves to which: the record was altered. */
  integrationId: nullable(text()),
  endUserId: nullable(text()),
  /** After the change; before a deletion. Null if the record was altered. */
  snapshot: nullable(object(snapshotFields)),
  previousState: nullable(oneOf(healthStates)),
  state: nullable(oneOf(healthStates)),
  problem: nullable(oneOf(problemCodes)),
  /** What expires when, and how many days before the event says so. */
  expiry: nullable(object({ what: oneOf(expiring), at: date(), days: number() })),
};
export interface Happening extends ValuesOf<typeof happeningFields> {}

/** An event that is committed and has no position yet. The transaction of the change has written it. */
export const carriedFields = {
  id: text(),
  createdAt: date(),
  createdBy: actor,
  ...happeningFields,
  /** Of deletions only. */
  reason: nullable(oneOf(deletionReasons)),
  /** The object that was changed on request, if it is another one. */
  causeNoun: nullable(oneOf(eventNouns)),
  causeId: nullable(text()),
  /** The mutation, or the action of the gateway, as in the audit log. Null if the audit log has no entry about it. */
  action: nullable(text()),
};
export interface CarriedEvent extends ValuesOf<typeof carriedFields> {}

const { id: _id, createdAt: _createdAt, createdBy: _createdBy, ...ownFields } = carriedFields;

/** The fields of the record of an event. Its `createdAt` is when it happened, and its `updatedAt` is when it got its position. */
export const eventFields = {
  /** Its place in the order of the organization's events: a number from 1 without gaps, in 16 digits. */
  position: text(),
  ...ownFields,
};

/** The position before the first event. */
export const NO_POSITION = '0'.repeat(16);

export function positionOf(number: number): string {
  return String(number).padStart(NO_POSITION.length, '0');
}

export function isPosition(text: string): boolean {
  return /^\d{16}$/.test(text) && Number.isSafeInteger(Number(text));
}

/** With a position in a cursor, or as the place where a page continues: no event that has the position comes after it. */
export const LAST_ID = 'f'.repeat(24);

/** Returns the last position that is not after a text. Somebody else can have written any text in place of a position. */
export function lastPositionUpTo(text: string): string {
  if (isPosition(text)) return text;
  const digits = /^\d{0,16}/.exec(text)![0];
  if (text.charAt(digits.length) > '9') return digits.padEnd(NO_POSITION.length, '9');
  return positionOf(Math.max(0, Number(digits.padEnd(NO_POSITION.length, '0')) - (digits.length === NO_POSITION.length ? 0 : 1)));
}

export function isEventNoun(noun: NounName | string | null): noun is EventNoun {
  return (eventNouns as readonly (string | null)[]).includes(noun);
}

/** A record of any noun. */
type AnyRecord = Readonly<Record<string, unknown>> & { readonly id: string; readonly isAltered?: true };

/** Returns what has happened to an object. Of an altered record, nothing but its id is told: nothing proves the rest. */
export function happened(noun: EventNoun, type: EventType, record: AnyRecord, more: Partial<Happening> = {}): Happening {
  const intact = record.isAltered ? {} : record;
  return {
    type,
    objectNoun: noun,
    objectId: record.id,
    integrationId: ownerOf(noun, 'integration', intact),
    endUserId: ownerOf(noun, 'endUser', intact),
    snapshot: record.isAltered ? null : snapshotOf(record),
    previousState: null,
    state: null,
    problem: null,
    expiry: null,
    ...more,
  };
}

/** An API key belongs to the organization, also one that is limited to an integration: who is limited to this one does not see it. */
function ownerOf(noun: EventNoun, owner: 'integration' | 'endUser', record: Readonly<Record<string, unknown>>): string | null {
  if (noun === 'apiKey') return null;
  const id = noun === owner ? record.id : record[`${owner}Id`];
  return typeof id === 'string' ? id : null;
}

function snapshotOf(record: AnyRecord): Snapshot {
  const { version, createdAt, updatedAt, kind, enabled, expiresAt, lastUsedAt, connectorId, credentialIds } = record;
  return {
    version: version as number,
    createdAt: createdAt as Date,
    updatedAt: updatedAt as Date,
    kind: typeof kind === 'string' ? kind : null,
    enabled: typeof enabled === 'boolean' ? enabled : null,
    expiresAt: expiresAt instanceof Date ? expiresAt : null,
    lastUsedAt: lastUsedAt instanceof Date ? lastUsedAt : null,
    connectorId: typeof connectorId === 'string' ? connectorId : null,
    credentialCount: Array.isArray(credentialIds) ? credentialIds.length : null,
  };
}
