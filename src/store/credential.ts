import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Happening } from './event-forms.ts';
import { type Extent, within } from './extent.ts';
import { boolean, date, list, mixed, nullable, oneOf, optional, text } from './fields.ts';
import { healthFieldNames, healthFields, NEVER, newFindings, unsettledAt } from './health.ts';
import { fingerprintKey, settingKey, textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import type { SecretFacts } from './secret.ts';
import { addSortIndexes } from './sort-indexes.ts';
import { shownSecrets, tokenField } from './token.ts';

/** What a credential can be used for. The domain describes each. */
export const credentialPurposes = ['ACTION', 'TRIGGER', 'TOKEN_REQUEST', 'SSO_SIGNING'] as const;
export type CredentialPurpose = (typeof credentialPurposes)[number];

const fields = {
  integrationId: text(),
  endUserId: nullable(text()),
  name: text(),
  description: nullable(text()),
  kind: text(),
  enabled: boolean(),
  /** It is deleted at this time. Reads do not find it from this time on. */
  expiresAt: nullable(date()),
  /** The hosts that it may be used at. Absent in records that are older than this field, like an empty list. */
  allowedDomains: optional(list(text())),
  /** What it may be used for. Absent in records that are older than this field, like an empty list. */
  allowedPurposes: optional(list(oneOf(credentialPurposes))),
  /** When it was last used for a request to a service, to the minute. Null or absent if never, or before this was recorded. */
  lastUsedAt: optional(nullable(date())),
  /** The readable fields of the kind. */
  settings: mixed<Readonly<Record<string, unknown>>>(),
  /** The values that the server computed from settings and secrets. */
  facts: mixed<Readonly<Record<string, unknown>>>(),
  /** By field. Contains only secrets that are set. */
  secrets: mixed<Readonly<Record<string, SecretFacts>>>(),
  /** The required secrets that are still to come. Absent or empty if there are none. */
  pendingSecrets: optional(list(text())),
  /** What is known about its tokens. */
  token: tokenField,
  /** When its tokens should be refreshed though nobody uses them. `NEVER` if not. It follows from the record; absent in older records. */
  refreshAt: optional(date()),
  ...healthFields,
  /** When it stops working by time alone. `NEVER` if time does not end it. Absent in records that are older than this field. */
  runsOutAt: optional(date()),
  /** When the next event says that it is about to expire. A time in the past if that must be determined: which events were due since then. `NEVER` if none will. Absent if nobody has determined it yet. */
  noticeAt: optional(date()),
  /** Whether the connections that use it are still to be told that its state has changed. */
  isUnspread: optional(boolean()),
  ...lookupFields,
};

/** What is shown and decides nothing: the MAC does not cover it. `noteUsed` writes the first one, and the others follow from the record or were learned. */
const unauthenticated = ['lastUsedAt', ...healthFieldNames, 'runsOutAt', 'noticeAt', 'isUnspread', 'refreshAt'] as const;

export interface CredentialRecord extends RecordOf<typeof fields> {}

/** Returns the fields that follow from a record that is written: a new one, or one that replaces `before`. */
export type DerivedHealth = (record: CredentialRecord, before: CredentialRecord | null) => Partial<CredentialRecord>;

/** Returns what has happened to a credential, besides that it was changed. */
function happenings(record: CredentialRecord, before: CredentialRecord) {
  const found: (Pick<Happening, 'type'> & Partial<Happening>)[] = [];
  const isRewritten = record.version === before.version;
  const isReplaced = (field: string) => record.secrets[field]?.generation !== before.secrets[field]?.generation;
  const fields = new Set([...shownSecrets(record.secrets), ...shownSecrets(before.secrets)]);
  // What a refresh writes, it tells itself.
  if (!isRewritten && [...fields].some(isReplaced)) found.push({ type: 'SECRET_REPLACED' });
  const { token } = record;
  if (token && token.refreshedAt !== null && token.refreshedAt.getTime() !== before.token?.refreshedAt?.getTime()) {
    found.push({ type: 'TOKENS_REFRESHED' });
  } else if (token && token.failure !== null && token.failures !== (before.token?.failures ?? 0)) {
    found.push({ type: 'REFRESH_FAILED', problem: token.failure });
  }
  return [...found, ...newFindings(record, before)];
}

/** `searchableOf` returns the names of the settings of a kind that credentials are found by; undefined if the kind is not known. */
export function credentialStore(
  database: Database,
  authenticity: Authenticity,
  now: () => Date,
  derived: DerivedHealth,
  searchableOf: (kind: string) => readonly string[] | undefined,
) {
  const schema = recordSchema(fields);
  addSortIndexes(schema, ['name', 'kind', 'createdAt', 'updatedAt', 'runsOutAt']);
  schema.index({ organizationId: 1, kind: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, kind: 1, createdAt: 1, _id: 1 });
  // Few credentials are disabled, so this index is small. What is enabled is nearly everything.
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 }, { name: 'disabled', partialFilterExpression: { enabled: false } });
  schema.index({ organizationId: 1, endUserId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, expiresAt: 1 });
  schema.index({ organizationId: 1, state: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, state: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, stateChangesAt: 1 });
  schema.index({ organizationId: 1, refreshAt: 1 });
  schema.index({ organizationId: 1, noticeAt: 1 });
  schema.index({ organizationId: 1, updatedAt: 1 }, { name: 'unspread', partialFilterExpression: { isUnspread: true } });
  addLookupIndex(schema);
  const model = database.model('Credential', schema, 'credentials');
  const visible = {
    condition: () => ({ $nor: [{ expiresAt: { $lte: now() } }] }),
    hidden: () => ({ expiresAt: { $lte: now() } }),
    holds: ({ expiresAt }: CredentialRecord) => expiresAt === null || expiresAt > now(),
  };
  function keysOf({ id, name, kind, settings, secrets }: CredentialRecord): string[] {
    const values = (searchableOf(kind) ?? []).flatMap((field) => {
      const value = settings[field];
      return typeof value === 'string' ? [[field, value] as const] : [];
    });
    return [
      ...textKeys([id, name, ...values.map(([, value]) => value)]),
      ...values.map(([field, value]) => settingKey(field, value)),
      ...shownSecrets(secrets).flatMap((field) => (secrets[field]?.fingerprint ? [fingerprintKey(secrets[field].fingerprint)] : [])),
    ];
  }
  const records = recordStore<CredentialRecord>(database, model, {
    noun: 'credential',
    fields,
    authenticity,
    unauthenticated,
    derived,
    happenings,
    lookupKeys: (all) => all.map(keysOf),
    visible,
  });
  return (extent: Extent) => {
    const own = records(extent);
    return {
      ...own,
      ...translatingErrors({
        /** Returns at most `limit` of those whose connections are still to be told that their state has changed. */
        unspread: (limit: number) => own.matching([{ isUnspread: true }], limit),
        /** Returns at most `limit` of those whose tokens should be refreshed, and as many of which that is not known. */
        refreshable: (limit: number) => own.matching([{ refreshAt: { $lte: now() } }, { refreshAt: null }], limit),
        /** Returns at most `limit` of those about whose end an event is due, and as many of which that is not known. */
        expiring: (limit: number) => own.matching([{ noticeAt: { $lte: now() } }, { noticeAt: null }], limit),
        /** Says that it must be determined again, from now on, when events tell that the credentials of an integration are about to expire. What is due stays due. */
        async unsettleNotices(integrationId: string): Promise<void> {
          const at = now();
          await database
            .collection('credentials')
            .updateMany(
              { ...within(extent), integrationId, runsOutAt: { $lt: NEVER }, noticeAt: { $gt: at } },
              { $set: { noticeAt: at } },
              database.session(),
            );
        },
        /** Returns at most `limit` of those whose state must be determined again. */
        unsettled: (limit: number) => own.matching(unsettledAt(now()), limit),
        /** Returns those of the given credentials that have expired and that the job has not deleted yet. Altered ones are not among them. */
        async expiredOf(ids: readonly string[]): Promise<string[]> {
          const found = await model
            .find({ ...within(extent), _id: { $in: ids }, expiresAt: { $lte: now() } })
            .batchSize(ids.length + 1)
            .lean();
          return own.authenticIds(found);
        },
        /**
         * Returns the ids of expired credentials, which reads do not find any more. `altered` are those whose record is not as the gateway wrote it:
         * nothing proves that they have expired. `except` are ids to leave out.
         */
        async expired(limit: number, except: readonly string[] = []): Promise<{ readonly ids: string[]; readonly altered: string[] }> {
          const found = await model
            .find({ ...within(extent), expiresAt: { $lte: now() }, ...(except.length > 0 && { $nor: [{ _id: { $in: except } }] }) })
            .limit(limit)
            .batchSize(limit + 1)
            .lean();
          const ids = new Set(await own.authenticIds(found));
          return { ids: [...ids], altered: found.map(({ _id }) => _id).filter((id) => !ids.has(id)) };
        },
      }),
    };
  };
}
