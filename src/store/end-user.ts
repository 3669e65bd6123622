import { Schema } from 'mongoose';
import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

/** One of the at most four people or mailboxes that stand for an end user. */
export interface Contact {
  readonly type: ContactType;
  readonly name: string | null;
  readonly email: string | null;
  readonly emailVerified: boolean;
  readonly phone: string | null;
}

export const contactTypes = ['REGULAR', 'BILLING', 'ADMINISTRATOR', 'TECHNICAL'] as const;
export type ContactType = (typeof contactTypes)[number];

/** Whose credentials these are: a customer of the organization that integrates. */
export interface EndUserRecord extends BaseRecord {
  readonly integrationId: string;
  /** The organization's own id for this end user. Immutable, unique within the integration. */
  readonly externalId: string;
  readonly displayName: string;
  readonly contacts: readonly Contact[];
}

export function endUserStore(database: Database) {
  const contact = new Schema(
    { type: { type: String, enum: contactTypes, required: true }, name: String, email: String, emailVerified: Boolean, phone: String },
    { _id: false, id: false },
  );
  const schema = recordSchema({
    integrationId: { type: String, required: true },
    externalId: { type: String, required: true },
    displayName: { type: String, default: '' },
    contacts: [contact],
  });
  schema.index({ organizationId: 1, integrationId: 1, externalId: 1 }, { unique: true });
  addSortIndexes(schema, ['displayName', 'createdAt', 'updatedAt']);
  return recordStore<EndUserRecord>(database, database.connection.model('EndUser', schema, 'endUsers') as never, {
    nameField: 'displayName',
  });
}
