import { Schema } from 'mongoose';
import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';

/** A namespace of an organization: connectors, end users, connections and credentials belong to exactly one. */
export interface IntegrationRecord extends BaseRecord {
  readonly name: string;
  readonly description: string | null;
  /** What is added to the claims of its end users’ SSO links. Absent in records older than it. */
  readonly ssoClaims?: SSOClaimSettings | null;
}

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

export function integrationStore(database: Database) {
  const schema = recordSchema({ name: { type: String, required: true }, description: String, ssoClaims: Schema.Types.Mixed });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, updatedAt: 1, _id: 1 });
  return recordStore<IntegrationRecord>(database, database.connection.model('Integration', schema, 'integrations') as never);
}
