import type { Database } from './database.ts';
import { mixed, nullable, optional, text } from './fields.ts';
import { type RecordOf, recordSchema, recordStore } from './records.ts';

/** Null everywhere: no such claim. */
export interface SSOClaimSettings {
  readonly organization: string | null;
  readonly locale: number | null;
  readonly tags: readonly string[] | null;
  readonly userFields: readonly SSOUserField[] | null;
  readonly sendPhone: boolean;
  readonly externalId: 'CONTACT' | 'END_USER' | 'NONE';
}

/** One of the three values at most; with none the field is cleared. */
export interface SSOUserField {
  readonly name: string;
  readonly text: string | null;
  readonly number: number | null;
  readonly flag: boolean | null;
}

const fields = {
  name: text(),
  description: nullable(text()),
  /** What is added to the claims of its end users’ SSO links. Absent in records older than it. */
  ssoClaims: optional(nullable(mixed<SSOClaimSettings>())),
};

/** A namespace of an organization: connectors, end users, connections and credentials belong to exactly one. */
export interface IntegrationRecord extends RecordOf<typeof fields> {}

export function integrationStore(database: Database) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, updatedAt: 1, _id: 1 });
  return recordStore<IntegrationRecord>(database, database.model('Integration', schema, 'integrations'));
}
