import type { Authenticity } from './authenticity.ts';
import { authScheme } from './connector.ts';
import { type Database, translatingErrors } from './database.ts';
import { type Extent, within } from './extent.ts';
import { anyText, date, list, nullable, object, optional, text, type ValueOf } from './fields.ts';
import { healthFieldNames, healthFields, newFindings, UNSETTLED, unsettledAt } from './health.ts';
import { kindKey, textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';
import { newTouch } from './touch.ts';

const binding = object({ credentialId: text(), authScheme: nullable(authScheme) });

/** A credential of a connection, and how it authenticates. `authScheme` is null if the credential's kind decides. */
export interface Binding extends ValueOf<typeof binding> {}

const fields = {
  integrationId: text(),
  connectorId: nullable(text()),
  endUserId: nullable(text()),
  /** The connector, or the integration if there is no connector. The name is unique within it, for each end user and for shared ones. */
  ownerId: text(),
  name: text(),
  allowedDomain: nullable(text()),
  /** Overrides the base URL of the connector. Absent, like null, in older records. */
  baseUrl: optional(nullable(text())),
  variables: list(object({ name: text(), value: anyText() })),
  actionCredentials: list(binding),
  triggerCredentials: list(binding),
  /** When it was last used for a request to a service, to the minute. Null or absent if never, or before this was recorded. */
  lastUsedAt: optional(nullable(date())),
  /** All credentials that the bindings and their auth schemes refer to. Derived, and indexed to find the users of a credential. */
  credentialIds: list(text()),
  ...healthFields,
  /** When the job that checks connections began with it last. Null or absent if never. */
  checkStartedAt: optional(nullable(date())),
  ...lookupFields,
};

/** Binds an ordered list of credentials to a connector, an end user or a domain. */
export interface ConnectionRecord extends RecordOf<typeof fields> {}

/** The indexes of earlier versions, by name. The first one would refuse names that are valid now; the others only cost time. */
export const replacedIndexes = ['organizationId_1_ownerId_1_name_1', 'organizationId_1_integrationId_1_allowedDomain_1_createdAt_1__id_1'];

/** Returns the fields that follow from a record that is written: a new one, or one that replaces `before`. */
export type DerivedConnectionHealth = (record: ConnectionRecord, before: ConnectionRecord | null) => Partial<ConnectionRecord>;

/** `kindsOf` returns the kinds of credentials of an organization, by id. */
export function connectionStore(
  database: Database,
  authenticity: Authenticity,
  now: () => Date,
  derived: DerivedConnectionHealth,
  kindsOf: (organizationId: string, credentialIds: readonly string[]) => Promise<ReadonlyMap<string, string>>,
) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, ownerId: 1, endUserId: 1, name: 1 }, { unique: true });
  addSortIndexes(schema, ['name', 'createdAt', 'updatedAt']);
  for (const owner of ['connectorId', 'endUserId', 'credentialIds']) schema.index({ organizationId: 1, [owner]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, connectorId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, allowedDomain: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, state: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, state: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, stateChangesAt: 1 });
  schema.index({ organizationId: 1, connectorId: 1, checkStartedAt: 1 });
  addLookupIndex(schema);
  const model = database.model('Connection', schema, 'connections');
  const records = recordStore<ConnectionRecord>(database, model, {
    noun: 'connection',
    fields,
    authenticity,
    // They are shown and decide nothing: `noteUsed` writes the first one.
    unauthenticated: ['lastUsedAt', 'checkStartedAt', ...healthFieldNames],
    derived,
    happenings: newFindings,
    async lookupKeys(records, organizationId) {
      const ids = [...new Set(records.flatMap(({ credentialIds }) => credentialIds))];
      const kinds = ids.length === 0 ? new Map<string, string>() : await kindsOf(organizationId, ids);
      return records.map(({ id, name, credentialIds }) => [
        ...textKeys([id, name]),
        ...credentialIds.flatMap((each) => (kinds.has(each) ? [kindKey(kinds.get(each)!)] : [])),
      ]);
    },
  });
  return (extent: Extent) => {
    const own = records(extent);
    return {
      ...own,
      ...translatingErrors({
        /** Returns at most `limit` of those whose state must be determined again. */
        unsettled: (limit: number) => own.matching(unsettledAt(now()), limit),
        /** Returns connections of some connectors that the job did not begin to check since a time. */
        async toCheck(connectorIds: readonly string[], before: Date, limit: number): Promise<readonly ConnectionRecord[]> {
          const connectorId = { $in: connectorIds };
          const due = [
            { connectorId, checkStartedAt: null },
            { connectorId, checkStartedAt: { $lte: before } },
          ];
          return (await own.matching(due, limit)).intact;
        },
        /** Notes that a check begins. Returns false if another process has begun one. */
        async claimCheck(id: string, before: Date, startedAt: Date): Promise<boolean> {
          const isDue = { $nor: [{ checkStartedAt: { $gt: before } }] };
          const change = { $set: { checkStartedAt: startedAt } };
          const claimed = await database
            .collection<{ _id: string }>('connections')
            .updateOne({ ...within(extent), ...isDue, _id: id }, change, database.session());
          return claimed.matchedCount === 1;
        },
        /** Notes that the states of all connections that use a credential must be determined again. It conflicts with whoever determines one. */
        async unsettle(credentialId: string): Promise<void> {
          const change = { $set: { stateChangesAt: UNSETTLED, touches: newTouch() } };
          await database
            .collection('connections')
            .updateMany({ ...within(extent), credentialIds: credentialId }, change, database.session());
        },
      }),
    };
  };
}
