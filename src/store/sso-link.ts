import { Schema } from 'mongoose';
import { type Database, translatingErrors } from './database.ts';
import type { ContactType } from './end-user.ts';
import { newId } from './records.ts';

/** What is kept of a link that was made: that it was, for whom, and until when. Never the link. */
export interface SSOLinkRecord {
  /** The token's id: unique, so that whoever takes the token can refuse it the second time. */
  readonly jti: string;
  readonly integrationId: string;
  readonly endUserId: string;
  readonly contactType: ContactType;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export function ssoLinkStore(database: Database, now: () => Date) {
  const schema = new Schema(
    {
      _id: { type: String, required: true },
      organizationId: { type: String, required: true },
      jti: { type: String, required: true },
      integrationId: { type: String, required: true },
      endUserId: { type: String, required: true },
      contactType: { type: String, required: true },
      issuedAt: { type: Date, required: true },
      expiresAt: { type: Date, required: true },
    },
    { versionKey: false },
  );
  schema.index({ organizationId: 1, jti: 1 }, { unique: true });
  schema.index({ organizationId: 1, expiresAt: 1 });
  schema.index({ organizationId: 1, integrationId: 1 });
  const model = database.connection.model('SSOLink', schema, 'ssoLinks');
  return translatingErrors({
    /** @throws DuplicateKeyError when the organization has a link of this jti */
    async insert(organizationId: string, record: SSOLinkRecord): Promise<void> {
      await model.create([{ ...record, _id: newId(), organizationId }]);
    },
    async removeExpired(organizationId: string): Promise<void> {
      await model.deleteMany({ organizationId, expiresAt: { $lte: now() } });
    },
    async removeAll(organizationId: string, integrationId: string): Promise<void> {
      await model.deleteMany({ organizationId, integrationId });
    },
  });
}
