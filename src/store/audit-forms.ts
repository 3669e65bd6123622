import { createHash, createHmac } from 'node:crypto';
import type { ViewerKind } from '../access/viewer.ts';
import { sameText } from '../secrets/same-text.ts';
import { carriedFields } from './event-forms.ts';
import { anyText, boolean, date, list, nullable, number, object, optional, text, type ValuesOf } from './fields.ts';
import { baseFields, isId, type RecordOf } from './records.ts';

/** The format of entries and batches that have a MAC of their own. Older ones have no format. */
export const FORMAT = 2;

/** Stands for the id of an entry that has none of the right type. */
export const NO_ID = '(no id)';

const viewerKinds: readonly unknown[] = ['token', 'apiKey', 'endUser', 'gateway'] satisfies ViewerKind[];

export const entryFields = {
  /** The viewer's kind (absent in entries that are older than this field) and subject. */
  viewerKind: optional(nullable({ ...text<ViewerKind>(), fits: (value) => viewerKinds.includes(value) })),
  subject: text(),
  /** The network address of the client. Null if the gateway acted by itself. */
  address: nullable(text()),
  requestId: nullable(text()),
  /** The name of a mutation, or an action of the gateway itself. */
  action: text(),
  /** `SUCCESS`, or the error code if it was refused. */
  outcome: text(),
  /** The noun of the object, if known. */
  objectNoun: nullable(text()),
  objectId: nullable(text()),
  /** The given reason, for actions that require one. */
  reason: nullable(text()),
  /** How many times it happened within one minute. Greater than 1 only for what is summed. */
  count: number(),
  /** The number of the batch that seals it. Null if not sealed yet. */
  sequence: nullable(number()),

  // The store adds these. They are absent in entries of older versions.
  format: optional(number()),
  /** The writer: a random id for one organization and one run of a process. */
  writer: optional(text()),
  /** The writer's own number of this entry, from 1, without gaps. */
  number: optional(number()),
  /** All of the writer's numbers up to this one were in the log, and committed, before this entry was written. */
  settled: optional(number()),
  /** The number and hash of the newest batch that the writer knew. 0 and empty if none. */
  batch: optional(number()),
  batchHash: optional(anyText()),
  /** What happened in the transaction of the entry: see `outbox.ts`. Absent if nothing did, and in entries that are older than this field. */
  events: optional(list(object(carriedFields))),
  /** Whether these events have no positions yet. Absent otherwise. */
  hasNewEvents: optional(boolean()),
  /** Authenticates all fields except `sequence` and `hasNewEvents`, under the organization's audit key. */
  mac: optional(text()),
};

/** An action that succeeded or was refused. Contains ids but never values. */
export interface AuditRecord extends RecordOf<typeof entryFields> {}

/** The stored form of an entry. */
export type StoredEntry = Omit<AuditRecord, 'id'> & { readonly _id: string };

/** An entry of the current format. */
export type NumberedEntry = StoredEntry & {
  readonly [K in 'format' | 'writer' | 'number' | 'settled' | 'batch' | 'batchHash' | 'mac']: NonNullable<AuditRecord[K]>;
};

export const sealFields = {
  sequence: number(),
  sealedAt: date(),
  entryCount: number(),
  /** SHA-256 of the batch's entries. */
  entriesHash: text(),
  /** The `headHash` of the previous batch. Empty for the first batch. */
  previousHash: anyText(),
  /** SHA-256 of the other fields: the head of the chain. A copy that is stored elsewhere can be compared with it. */
  headHash: text(),
  /** Absent in batches of older versions, whose hash covers fewer fields. */
  format: optional(number()),
  /** The number of entries without a MAC, from an older version. Only the migration seals such entries. */
  unproven: optional(number()),
};

/** A batch of entries, chained to the previous batch. Changing or removing an entry breaks the chain. */
export interface AuditSeal extends ValuesOf<typeof sealFields> {}

/** The newest batch of a chain. A copy that is stored elsewhere proves that the chain was not truncated and rebuilt. */
export type AuditHead = Pick<AuditSeal, 'sequence' | 'headHash'>;

/** The chain before the first batch. */
export const NO_BATCH: AuditHead = { sequence: 0, headHash: '' };

export const headFields = {
  sequence: number(),
  headHash: anyText(),
  /** The number of batches of older versions, with which the chain begins. It never changes. */
  legacyBatches: number(),
  mac: text(),
};

/** The record of a chain's newest batch. If the batch is removed, the record contradicts the chain. */
export interface HeadRecord extends ValuesOf<typeof headFields> {}

export const cursorFields = {
  /** The id of the sink. */
  sink: text(),
  /** The number and hash of the last batch that it has got. */
  sequence: number(),
  headHash: anyText(),
  /** Nobody can say that a sink has got more than it has. */
  mac: text(),
};

/** The text of an entry that its MAC covers: every field except `sequence` and `hasNewEvents`, in a fixed order. Never throws, whatever is stored. */
function signedText(entry: StoredEntry): string {
  return JSON.stringify([
    'credential-gateway audit entry',
    FORMAT,
    entry._id,
    entry.organizationId,
    entry.version,
    time(entry.createdAt),
    time(entry.updatedAt),
    entry.viewerKind ?? null,
    entry.subject,
    entry.address ?? null,
    entry.requestId ?? null,
    entry.action,
    entry.outcome,
    entry.objectNoun ?? null,
    entry.objectId ?? null,
    entry.reason ?? null,
    entry.count,
    entry.writer,
    entry.number,
    entry.settled,
    entry.batch,
    entry.batchHash,
    // Only if present, so that the text of entries that are older than this field does not change.
    ...(entry.events ? [entry.events] : []),
  ]);
}

/** Milliseconds since 1970. Null for anything else than a valid date. */
function time(value: unknown): number | null {
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.getTime() : null;
}

export function macOfEntry(key: Uint8Array, entry: StoredEntry): string {
  return hmac(key, signedText(entry));
}

const typed = Object.entries({ ...baseFields, ...entryFields });

/**
 * Whether each value has the type that the gateway writes. Values of other types can have the same text: an ObjectId and its digits, a number
 * that is none and null.
 */
function hasItsTypes(entry: StoredEntry): boolean {
  const values = entry as unknown as Readonly<Record<string, unknown>>;
  return isId(values._id) && typeof values.organizationId === 'string' && typed.every(([name, { fits }]) => fits(values[name]));
}

/** Whether the gateway wrote this entry, in this organization, and nobody has changed it since. */
export function isAuthentic(key: Uint8Array, entry: StoredEntry): entry is NumberedEntry {
  return entry.format === FORMAT && hasItsTypes(entry) && typeof entry.mac === 'string' && sameText(entry.mac, macOfEntry(key, entry));
}

/** Chains a batch to the newest one. */
export function chained(last: AuditHead, batch: readonly StoredEntry[], sealedAt: Date, unproven: number): AuditSeal {
  const seal = {
    sequence: last.sequence + 1,
    sealedAt,
    entryCount: batch.length,
    entriesHash: hashOf(batch, FORMAT),
    previousHash: last.headHash,
    format: FORMAT,
    unproven,
  };
  return { ...seal, headHash: headHashOf(seal) };
}

/** Hashes every field in a fixed order, so that each change is detected. `sequence` is part of the head. */
export function hashOf(batch: readonly StoredEntry[], format: number | undefined): string {
  return sha256(JSON.stringify(format === FORMAT ? batch.map((entry) => [signedText(entry), entry.mac ?? null]) : batch.map(legacyRow)));
}

function legacyRow(entry: StoredEntry): unknown[] {
  return [
    entry._id,
    entry.organizationId,
    entry.createdAt instanceof Date && time(entry.createdAt) !== null ? entry.createdAt.toISOString() : null,
    entry.subject,
    entry.address ?? null,
    entry.requestId ?? null,
    entry.action,
    entry.outcome,
    entry.objectNoun ?? null,
    entry.objectId ?? null,
    entry.reason ?? null,
    entry.count,
    // Last, and only if present, so that the hash of entries that are older than this field does not change.
    ...(entry.viewerKind ? [entry.viewerKind] : []),
  ];
}

export function headHashOf(seal: Omit<AuditSeal, 'headHash'>): string {
  const { sequence, sealedAt, entryCount, entriesHash, previousHash, format, unproven } = seal;
  const at = time(sealedAt) === null ? null : sealedAt.toISOString();
  const fields = [sequence, at, entryCount, entriesHash, previousHash];
  return sha256(JSON.stringify(format === FORMAT ? ['credential-gateway audit batch', FORMAT, ...fields, unproven] : fields));
}

/** The MAC of a batch. The rule depends on its format, so that no batch of one format can be taken for one of the other. */
export function macOfSeal(key: Uint8Array, organizationId: string, { headHash, format, sequence }: AuditSeal): string {
  if (format !== FORMAT) return hmac(key, JSON.stringify([organizationId, headHash]));
  return hmac(key, JSON.stringify(['credential-gateway audit batch', FORMAT, organizationId, sequence, headHash]));
}

export function macOfHead(key: Uint8Array, organizationId: string, { sequence, headHash, legacyBatches }: Omit<HeadRecord, 'mac'>): string {
  return hmac(key, JSON.stringify(['credential-gateway audit head', FORMAT, organizationId, sequence, headHash, legacyBatches]));
}

export function macOfCursor(key: Uint8Array, organizationId: string, cursor: AuditHead & { readonly sink: string }): string {
  const { sink, sequence, headHash } = cursor;
  return hmac(key, JSON.stringify(['credential-gateway audit cursor', FORMAT, organizationId, sink, sequence, headHash]));
}

export function isAuthenticSeal(key: Uint8Array, organizationId: string, seal: AuditSeal & { readonly mac: string }): boolean {
  return typeof seal.mac === 'string' && headHashOf(seal) === seal.headHash && sameText(seal.mac, macOfSeal(key, organizationId, seal));
}

export function isAuthenticHead(key: Uint8Array, organizationId: string, head: HeadRecord): boolean {
  return typeof head.mac === 'string' && sameText(head.mac, macOfHead(key, organizationId, head));
}

export function isSameHead(a: AuditHead, b: AuditHead): boolean {
  return a.sequence === b.sequence && a.headHash === b.headHash;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function hmac(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text).digest('base64url');
}
