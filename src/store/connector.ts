import { Schema } from 'mongoose';
import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

/** How a connector authenticates: its type and that type's settings. Holds no secret; credentials it needs are named by id. */
export interface AuthScheme {
  /** Given by the client, unique within its list. */
  readonly id: string;
  readonly schemeType: string;
  readonly description: string | null;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A third-party service, and the ways it authenticates. */
export interface ConnectorRecord extends BaseRecord {
  readonly integrationId: string;
  readonly name: string;
  readonly description: string | null;
  readonly baseUrl: string;
  readonly authSchemes: readonly AuthScheme[];
  /** The credentials that the auth schemes name: derived, and indexed for "used by". */
  readonly credentialIds: readonly string[];
}

/** The mongoose form of an auth scheme, here and in a connection's bindings. */
export const authSchemeSchema = new Schema(
  { id: { type: String, required: true }, schemeType: { type: String, required: true }, description: String, settings: Schema.Types.Mixed },
  { _id: false, id: false, minimize: false },
);

export function connectorStore(database: Database) {
  const schema = recordSchema({
    integrationId: { type: String, required: true },
    name: { type: String, required: true },
    description: String,
    baseUrl: { type: String, required: true },
    authSchemes: [authSchemeSchema],
    credentialIds: [String],
  });
  schema.index({ organizationId: 1, integrationId: 1, name: 1 }, { unique: true });
  addSortIndexes(schema, ['name', 'createdAt', 'updatedAt']);
  schema.index({ organizationId: 1, credentialIds: 1, createdAt: 1, _id: 1 });
  return recordStore<ConnectorRecord>(database, database.connection.model('Connector', schema, 'connectors') as never);
}
