import type { Authenticity } from './authenticity.ts';
import type { Database } from './database.ts';
import { list, mixed, nullable, optional, text } from './fields.ts';
import { textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';

/** A value is null if the claim is not sent. */
export interface SSOClaimSettings {
  readonly organization: string | null;
  readonly locale: number | null;
  readonly tags: readonly string[] | null;
  readonly userFields: readonly SSOUserField[] | null;
  readonly sendPhone: boolean;
  readonly externalId: 'CONTACT' | 'END_USER' | 'NONE';
}

/** At most one of the three values is set. If none is set, Zendesk clears the field. */
export interface SSOUserField {
  readonly name: string;
  readonly text: string | null;
  readonly number: number | null;
  readonly flag: boolean | null;
}

const fields = {
  name: text(),
  description: nullable(text()),
  /** Additional claims of the end users’ SSO links. Absent in records that are older than this field. */
  ssoClaims: optional(nullable(mixed<SSOClaimSettings>())),
  /** When events say that credentials are about to expire. Absent in records that are older than this field. */
  expiryNotices: optional(list(text())),
  ...lookupFields,
};

/** A namespace of an organization. Each connector, end user, connection and credential belongs to one. */
export interface IntegrationRecord extends RecordOf<typeof fields> {}

export function integrationStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, updatedAt: 1, _id: 1 });
  addLookupIndex(schema);
  const model = database.model('Integration', schema, 'integrations');
  return recordStore<IntegrationRecord>(database, model, {
    noun: 'integration',
    fields,
    authenticity,
    lookupKeys: (all) => all.map(({ id, name }) => textKeys([id, name])),
  });
}
