import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import { type Extent, within } from './extent.ts';
import { boolean, date, list, mixed, nullable, optional, text } from './fields.ts';
import { fingerprintKey, settingKey, textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import type { SecretFacts } from './secret.ts';
import { addSortIndexes } from './sort-indexes.ts';

/** What a credential can be used for. The domain describes each. */
export type CredentialPurpose = 'ACTION' | 'TRIGGER' | 'TOKEN_REQUEST' | 'SSO_SIGNING';

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
  allowedPurposes: optional(list(text<CredentialPurpose>())),
  /** Null or absent if never checked; empty if valid. */
  errors: optional(nullable(list(text()))),
  /** The readable fields of the kind. */
  settings: mixed<Readonly<Record<string, unknown>>>(),
  /** The values that the server computed from settings and secrets. */
  facts: mixed<Readonly<Record<string, unknown>>>(),
  /** By field. Contains only secrets that are set. */
  secrets: mixed<Readonly<Record<string, SecretFacts>>>(),
  /** When it was last used, to the minute. Null or absent if never. */
  lastUsedAt: optional(nullable(date())),
  ...lookupFields,
};

export interface CredentialRecord extends RecordOf<typeof fields> {}

/** `searchableOf` returns the names of the settings of a kind that credentials are found by; undefined if the kind is not known. */
export function credentialStore(
  database: Database,
  authenticity: Authenticity,
  now: () => Date,
  searchableOf: (kind: string) => readonly string[] | undefined,
) {
  const schema = recordSchema(fields);
  addSortIndexes(schema, ['name', 'kind', 'createdAt', 'updatedAt']);
  schema.index({ organizationId: 1, kind: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, kind: 1, createdAt: 1, _id: 1 });
  // Few credentials are disabled, so this index is small. What is enabled is nearly everything.
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 }, { name: 'disabled', partialFilterExpression: { enabled: false } });
  schema.index({ organizationId: 1, endUserId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, expiresAt: 1 });
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
      ...Object.values(secrets).flatMap(({ fingerprint }) => (fingerprint ? [fingerprintKey(fingerprint)] : [])),
    ];
  }
  const records = recordStore<CredentialRecord>(database, model, {
    noun: 'credential',
    fields,
    authenticity,
    // Written by what uses a credential. It is shown and decides nothing.
    unauthenticated: ['lastUsedAt'],
    lookupKeys: (all) => all.map(keysOf),
    visible,
  });
  return (extent: Extent) => {
    const own = records(extent);
    return {
      ...own,
      ...translatingErrors({
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
