import { type Database, translatingErrors } from './database.ts';
import { contactTypes } from './end-user.ts';
import { both, type Extent, refuseBeyond, within } from './extent.ts';
import { date, oneOf, tenantSchema, text, type ValuesOf } from './fields.ts';
import { newId } from './records.ts';

const fields = {
  /** The id of the token. It is unique, so that the recipient can refuse the token when it is used again. */
  jti: text(),
  integrationId: text(),
  endUserId: text(),
  contactType: oneOf(contactTypes),
  issuedAt: date(),
  expiresAt: date(),
};

/** The record of a created link, without the link itself. */
export interface SSOLinkRecord extends ValuesOf<typeof fields> {}

export function ssoLinkStore(database: Database, now: () => Date) {
  const schema = tenantSchema(fields);
  schema.index({ organizationId: 1, jti: 1 }, { unique: true });
  schema.index({ organizationId: 1, expiresAt: 1 });
  schema.index({ organizationId: 1, integrationId: 1 });
  const model = database.model('SSOLink', schema, 'ssoLinks');
  return (extent: Extent) =>
    translatingErrors({
      /** @throws DuplicateKeyError when the organization has a link with this jti */
      async insert(record: SSOLinkRecord): Promise<void> {
        refuseBeyond(extent, record);
        await model.create([{ ...record, _id: newId(), organizationId: extent.organizationId }]);
      },
      async removeExpired(): Promise<void> {
        await model.deleteMany({ ...within(extent), expiresAt: { $lte: now() } });
      },
      async removeAll(integrationId: string): Promise<void> {
        await model.deleteMany(both(within(extent), { integrationId }));
      },
    });
}
