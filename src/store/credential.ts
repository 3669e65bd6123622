import { Schema } from 'mongoose';
import type { Database } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';
import type { SecretFacts } from './secret.ts';
import { addSortIndexes } from './sort-indexes.ts';

export interface CredentialRecord extends BaseRecord {
  readonly integrationId: string;
  readonly endUserId: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly kind: string;
  readonly enabled: boolean;
  /** When it is deleted without anybody asking; from then on no read finds it. */
  readonly expiresAt: Date | null;
  /** Null: never checked. Empty: found valid. */
  readonly errors: readonly string[] | null;
  /** The readable fields of the kind. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** What the server computed from settings and secrets. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** By field; a secret that is not here is not set. */
  readonly secrets: Readonly<Record<string, SecretFacts>>;
}

export function credentialStore(database: Database, now: () => Date) {
  const schema = recordSchema({
    integrationId: { type: String, required: true },
    endUserId: String,
    name: { type: String, required: true },
    description: String,
    kind: { type: String, required: true },
    enabled: { type: Boolean, required: true },
    expiresAt: Date,
    errors: { type: [String], default: null },
    settings: { type: Schema.Types.Mixed, required: true },
    facts: { type: Schema.Types.Mixed, required: true },
    secrets: { type: Schema.Types.Mixed, required: true },
  });
  addSortIndexes(schema, ['name', 'kind', 'createdAt', 'updatedAt']);
  schema.index({ organizationId: 1, integrationId: 1, kind: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, endUserId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, expiresAt: 1 });
  const model = database.connection.model('Credential', schema, 'credentials');
  return {
    ...recordStore<CredentialRecord>(database, model as never, { visible: () => ({ $nor: [{ expiresAt: { $lte: now() } }] }) }),
    /** The ids of credentials whose time is past, which no read finds any more. */
    async expired(organizationId: string, limit: number): Promise<string[]> {
      const found = await model
        .find({ organizationId, expiresAt: { $lte: now() } }, { _id: 1 })
        .limit(limit)
        .lean();
      return found.map(({ _id }) => _id as string);
    },
  };
}
