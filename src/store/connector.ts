import type { Authenticity } from './authenticity.ts';
import type { Database } from './database.ts';
import { boolean, list, mixed, nullable, number, object, oneOf, optional, text, type ValueOf } from './fields.ts';
import { textKeys } from './lookup.ts';
import { addLookupIndex, lookupFields, type RecordOf, recordSchema, recordStore } from './records.ts';
import { addSortIndexes } from './sort-indexes.ts';

/** The field type of an auth scheme, also used in the bindings of a connection. */
export const authScheme = object({
  /** Chosen by the client, unique within its list. */
  id: text(),
  schemeType: text(),
  description: nullable(text()),
  settings: mixed<Readonly<Record<string, unknown>>>(),
});

/** How a connector authenticates: a type and its settings. Contains ids of credentials but no secrets. */
export interface AuthScheme extends ValueOf<typeof authScheme> {}

const check = object({ method: oneOf(['GET', 'HEAD']), path: text(), expectedStatus: nullable(number()) });

/** A request that shows whether a connection works. */
export interface ConnectorCheck extends ValueOf<typeof check> {}

const fields = {
  integrationId: text(),
  name: text(),
  description: nullable(text()),
  baseUrl: text(),
  authSchemes: list(authScheme),
  /** Whether end users may make connections although a scheme uses a credential of the integration. Absent, like false, in older records. */
  endUsersMayUseClient: optional(boolean()),
  /** How connections are checked. Absent, like null, in older records. */
  check: optional(nullable(check)),
  /** The credentials that the auth schemes refer to. Derived, and indexed to find the users of a credential. */
  credentialIds: list(text()),
  ...lookupFields,
};

/** A third-party service, and how it authenticates. */
export interface ConnectorRecord extends RecordOf<typeof fields> {}

export function connectorStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, integrationId: 1, name: 1 }, { unique: true });
  addSortIndexes(schema, ['name', 'createdAt', 'updatedAt']);
  schema.index({ organizationId: 1, credentialIds: 1, createdAt: 1, _id: 1 });
  addLookupIndex(schema);
  const model = database.model('Connector', schema, 'connectors');
  return recordStore<ConnectorRecord>(database, model, {
    noun: 'connector',
    fields,
    authenticity,
    lookupKeys: (all) => all.map(({ id, name }) => textKeys([id, name])),
  });
}
