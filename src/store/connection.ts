import { Schema } from 'mongoose';
import { type AuthScheme, authSchemeSchema } from './connector.ts';
import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

/** A credential bound to a connection, and how it authenticates there. Null: as the credential's kind says. */
export interface Binding {
  readonly credentialId: string;
  readonly authScheme: AuthScheme | null;
}

/** Binds credentials, in order, to a connector, an end user or a domain. */
export interface ConnectionRecord extends BaseRecord {
  readonly integrationId: string;
  readonly connectorId: string | null;
  readonly endUserId: string | null;
  /** The connector, or the integration when there is none: a name is unique within it. */
  readonly ownerId: string;
  readonly name: string;
  readonly allowedDomain: string | null;
  readonly variables: readonly { readonly name: string; readonly value: string }[];
  readonly actionCredentials: readonly Binding[];
  readonly triggerCredentials: readonly Binding[];
  /** Every credential that the bindings and their auth schemes name: derived, and indexed for "used by". */
  readonly credentialIds: readonly string[];
}

export function connectionStore(database: Database) {
  const variable = new Schema({ name: { type: String, required: true }, value: String }, { _id: false, id: false });
  const binding = new Schema({ credentialId: { type: String, required: true }, authScheme: authSchemeSchema }, { _id: false, id: false });
  const schema = recordSchema({
    integrationId: { type: String, required: true },
    connectorId: String,
    endUserId: String,
    ownerId: { type: String, required: true },
    name: { type: String, required: true },
    allowedDomain: String,
    variables: [variable],
    actionCredentials: [binding],
    triggerCredentials: [binding],
    credentialIds: [String],
  });
  schema.index({ organizationId: 1, ownerId: 1, name: 1 }, { unique: true });
  addSortIndexes(schema, ['name', 'createdAt', 'updatedAt']);
  for (const owner of ['connectorId', 'endUserId', 'credentialIds']) schema.index({ organizationId: 1, [owner]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, allowedDomain: 1, createdAt: 1, _id: 1 });
  return recordStore<ConnectionRecord>(database, database.connection.model('Connection', schema, 'connections') as never);
}
