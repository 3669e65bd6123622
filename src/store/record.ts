import type { Schema } from 'mongoose';
import { type Actor, actor } from './actor.ts';
import { date, type Fields, list, nullable, number, optional, tenantSchema, text, type ValuesOf } from './fields.ts';

/** What every record has, whatever its noun: as the store returns it, and as it is stored. */

/** The fields of every record, besides its ids. */
export const baseFields = {
  /** 1 after creation, incremented by each update. */
  version: number(),
  createdAt: date(),
  updatedAt: date(),
  /** Who created it. Absent if it was created before this was stored, and in records that no viewer writes. */
  createdBy: optional(nullable(actor)),
  /** Who changed it last: after its creation, who created it. Absent likewise. */
  updatedBy: optional(nullable(actor)),
};

/** The field of the nouns whose records are found by keys. Derived. Absent in records of earlier versions, until they get it. */
export const lookupFields = { lookupKeys: optional(list(text())) };

/** Adds the index of the keys. */
export function addLookupIndex(schema: Schema): void {
  schema.index({ organizationId: 1, lookupKeys: 1, createdAt: 1, _id: 1 });
}

/** The time of a change, and who makes it. */
export interface Change {
  readonly updatedAt: Date;
  readonly updatedBy: Actor;
}

/** The fields of every record. Ids are 24 hexadecimal digits. Records are plain objects; mongoose documents stay in `store/`. */
export interface BaseRecord extends ValuesOf<typeof baseFields> {
  readonly id: string;
  readonly organizationId: string;
  /**
   * Present if the stored record is not as the gateway wrote it. It may be shown and deleted, and nothing else: whatever it says, somebody else
   * may have written. Only `evenAltered` returns such records, and values that do not fit their type are replaced.
   */
  readonly isAltered?: true;
}

/** A record of a noun with these fields. */
export type RecordOf<F extends Fields> = BaseRecord & ValuesOf<F>;

/** Not part of records. */
export const bookkeeping = {
  /** It is written to conflict with a transaction that deletes the record. */
  touches: optional(number()),
  /** The size of the record in bytes, as it was counted. */
  bytes: optional(number()),
  /** Authenticates the rest of the document. */
  mac: optional(text()),
};

/** The stored form of a record. */
export type Stored<R extends BaseRecord> = Omit<R, 'id' | 'isAltered'> & { readonly _id: string } & ValuesOf<typeof bookkeeping>;

/** A document as it is read: anybody who can write to the database can have written it. */
export type Document = Readonly<Record<string, unknown>>;

/** Creates the schema of a record: the noun's own fields, and those of all records. */
export function recordSchema<F extends Fields>(fields: F) {
  return tenantSchema({ ...baseFields, ...bookkeeping, ...fields });
}

/** Ids are 24 hexadecimal digits. Only such records can be shown, because only they have a global id. */
export function isId(id: unknown): id is string {
  return typeof id === 'string' && /^[0-9a-f]{24}$/.test(id);
}
