import type { Authenticity } from './authenticity.ts';
import type { Database } from './database.ts';
import { anyText, boolean, list, nullable, object, oneOf, optional, text, type ValueOf } from './fields.ts';
import { textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

export const contactTypes = ['REGULAR', 'BILLING', 'ADMINISTRATOR', 'TECHNICAL'] as const;
export type ContactType = (typeof contactTypes)[number];

const contact = object({
  type: oneOf(contactTypes),
  name: nullable(text()),
  email: nullable(text()),
  emailVerified: boolean(),
  phone: nullable(text()),
});

/** One of at most four people or mailboxes that represent an end user. */
export interface Contact extends ValueOf<typeof contact> {}

const fields = {
  integrationId: text(),
  /** The organization's own id for this end user. Unique within the integration; never changes. */
  externalId: text(),
  displayName: anyText(),
  contacts: list(contact),
  /** One of its own connections. Absent in records that are older than this field. */
  primaryConnectionId: optional(nullable(text())),
  ...lookupFields,
};

/** A customer of the organization. Connections and credentials can belong to it. */
export interface EndUserRecord extends RecordOf<typeof fields> {}

export function endUserStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, integrationId: 1, externalId: 1 }, { unique: true });
  addSortIndexes(schema, ['displayName', 'createdAt', 'updatedAt']);
  // Finds the end user whose primary connection is deleted.
  schema.index({ organizationId: 1, primaryConnectionId: 1 });
  addLookupIndex(schema);
  const model = database.model('EndUser', schema, 'endUsers');
  return recordStore<EndUserRecord>(database, model, {
    noun: 'endUser',
    fields,
    authenticity,
    nameField: 'displayName',
    lookupKeys: (all) => all.map(({ id, externalId, displayName }) => textKeys([id, externalId, displayName])),
  });
}
