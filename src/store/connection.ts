import type { Authenticity } from './authenticity.ts';
import { authScheme } from './connector.ts';
import type { Database } from './database.ts';
import { anyText, list, nullable, object, text, type ValueOf } from './fields.ts';
import { kindKey, textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

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
  variables: list(object({ name: text(), value: anyText() })),
  actionCredentials: list(binding),
  triggerCredentials: list(binding),
  /** All credentials that the bindings and their auth schemes refer to. Derived, and indexed to find the users of a credential. */
  credentialIds: list(text()),
  ...lookupFields,
};

/** Binds an ordered list of credentials to a connector, an end user or a domain. */
export interface ConnectionRecord extends RecordOf<typeof fields> {}

/** The indexes of earlier versions, by name. The first one would refuse names that are valid now; the others only cost time. */
export const replacedIndexes = ['organizationId_1_ownerId_1_name_1', 'organizationId_1_integrationId_1_allowedDomain_1_createdAt_1__id_1'];

/** `kindsOf` returns the kinds of credentials of an organization, by id. */
export function connectionStore(
  database: Database,
  authenticity: Authenticity,
  kindsOf: (organizationId: string, credentialIds: readonly string[]) => Promise<ReadonlyMap<string, string>>,
) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, ownerId: 1, endUserId: 1, name: 1 }, { unique: true });
  addSortIndexes(schema, ['name', 'createdAt', 'updatedAt']);
  for (const owner of ['connectorId', 'endUserId', 'credentialIds']) schema.index({ organizationId: 1, [owner]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, connectorId: 1, name: 1, _id: 1 });
  schema.index({ organizationId: 1, allowedDomain: 1, createdAt: 1, _id: 1 });
  addLookupIndex(schema);
  const model = database.model('Connection', schema, 'connections');
  return recordStore<ConnectionRecord>(database, model, {
    noun: 'connection',
    fields,
    authenticity,
    async lookupKeys(records, organizationId) {
      const ids = [...new Set(records.flatMap(({ credentialIds }) => credentialIds))];
      const kinds = ids.length === 0 ? new Map<string, string>() : await kindsOf(organizationId, ids);
      return records.map(({ id, name, credentialIds }) => [
        ...textKeys([id, name]),
        ...credentialIds.flatMap((each) => (kinds.has(each) ? [kindKey(kinds.get(each)!)] : [])),
      ]);
    },
  });
}
