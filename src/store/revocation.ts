import { type Database, translatingErrors } from './database.ts';
import { type Extent, within } from './extent.ts';
import { date, nullable, tenantSchema, text } from './fields.ts';
import { newId, type RecordOf, recordSchema, recordStore } from './records.ts';

const fields = {
  /** The `sub` of the issuer's tokens. Null if the tokens of an end user are revoked. */
  subject: nullable(text()),
  /** The end user whose tokens are revoked, and its integration. Null if tokens of the issuer are revoked. */
  endUserId: nullable(text()),
  integrationId: nullable(text()),
  /** Tokens that were issued before this time are refused. */
  before: date(),
  /** From this time on, each of these tokens has expired. */
  expiresAt: date(),
};

/** The revocation of all tokens that were issued to somebody before a time. It is never changed. */
export interface RevocationRecord extends RecordOf<typeof fields> {}

/** Whose tokens are revoked: one of the two is null. */
export type Revoked = Pick<RevocationRecord, 'subject' | 'endUserId'>;

/** The organization of notices: they are read for all organizations at once. No organization name begins with this character. */
const ALL_ORGANIZATIONS = '-';

/** How many records are read with one command. */
const AT_ONCE = 1_000;

/** What another copy of the gateway must read: a revocation, or the tombstone of an organization if `revocationId` is null. */
export interface Notice {
  readonly id: string;
  readonly of: string;
  readonly revocationId: string | null;
}

/**
 * Revocations, and the notices of them. A notice only says what to read: what is revoked is in the organization's own records. So all copies of
 * the gateway learn of it with one small query for all organizations, and each index still begins with the organization.
 */
export function revocationStore(database: Database) {
  const schema = recordSchema(fields);
  for (const whose of ['subject', 'endUserId']) schema.index({ organizationId: 1, [whose]: 1, before: 1, _id: 1 });
  schema.index({ organizationId: 1, expiresAt: 1 });
  const model = database.model('Revocation', schema, 'revocations');
  const recordsWithin = recordStore<RevocationRecord>(database, model, {
    noun: 'token',
    fields,
    // Whoever can change a revocation can also remove it, which no MAC shows.
    authenticity: null,
    unauthenticated: ['subject', 'endUserId', 'integrationId', 'before', 'expiresAt'],
  });
  const noticeSchema = tenantSchema({ of: text(), revocationId: nullable(text()), createdAt: date() });
  noticeSchema.index({ organizationId: 1, createdAt: 1 });
  const notices = database.model('RevocationNotice', noticeSchema, 'revocationNotices');
  const options = { maxTimeMS: database.readTimeMs };

  const ofAll = translatingErrors({
    /** Returns the notices since a time. The clocks of other copies can differ, and a transaction can end long after it wrote its notice. */
    async notices(since: Date): Promise<Notice[]> {
      const filter = { organizationId: ALL_ORGANIZATIONS, createdAt: { $gte: since } };
      const found = await notices.find(filter, { of: 1, revocationId: 1 }, options).lean();
      return found.map(({ _id, of, revocationId }) => ({ id: _id, of, revocationId }));
    },
    /** Returns the organizations that have revocations. */
    async organizations(): Promise<string[]> {
      return model.distinct('organizationId');
    },
    /** Deletes the notices before a time. */
    async removeNotices(before: Date): Promise<void> {
      await notices.deleteMany({ organizationId: ALL_ORGANIZATIONS, createdAt: { $lt: before } });
    },
  });

  function of(extent: Extent) {
    const records = recordsWithin(extent);
    return {
      ...records,
      ...translatingErrors({
        /** Returns all revocations of the organization. */
        async all(): Promise<RevocationRecord[]> {
          const ids = await records.ids({});
          const found: RevocationRecord[] = [];
          for (let start = 0; start < ids.length; start += AT_ONCE) found.push(...(await records.byIds(ids.slice(start, start + AT_ONCE))));
          return found;
        },
        /** Returns the time before which all tokens of a subject or an end user are revoked. Null if none are. */
        async latest({ subject, endUserId }: Revoked): Promise<Date | null> {
          const filter = subject === null ? { endUserId } : { subject };
          const { records: found } = await records.evenAltered.page(filter, { limit: 1, sortField: 'before', descending: true });
          return found[0]?.before ?? null;
        },
        /** Announces a revocation, or the deletion of the organization, to all copies of the gateway. */
        async announce(revocationId: string | null, now: Date): Promise<void> {
          await notices.create([
            { _id: newId(), organizationId: ALL_ORGANIZATIONS, of: extent.organizationId, revocationId, createdAt: now },
          ]);
        },
        /** Deletes the revocations whose tokens have all expired. */
        async removeExpired(now: Date): Promise<void> {
          await model.deleteMany({ ...within(extent), expiresAt: { $lte: now } });
        },
      }),
    };
  }

  return { ofAll, of };
}
