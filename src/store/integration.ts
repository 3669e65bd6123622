import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';

/** A namespace of an organization: connectors, end users, connections and credentials belong to exactly one. */
export interface IntegrationRecord extends BaseRecord {
  readonly name: string;
  readonly description: string | null;
}

export function integrationStore(database: Database) {
  const schema = recordSchema({ name: { type: String, required: true }, description: String });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, updatedAt: 1, _id: 1 });
  return recordStore<IntegrationRecord>(database, database.connection.model('Integration', schema, 'integrations') as never);
}
