import { cacheExchange } from '@urql/exchange-graphcache';
import type { IntrospectionQuery } from 'graphql';
import type { schemaFacts } from './schema-facts.ts';

/**
 * A type without an id has no key: its objects are stored as parts of the object that has them. Without the schema, and with `possibleTypes` only,
 * Graphcache warns of each fragment on another member of a union. `introspectionFromSchema` of `graphql` gives the schema in the form of JSON.
 */
export function urqlCache(schema: IntrospectionQuery, { partTypes }: ReturnType<typeof schemaFacts>) {
  return cacheExchange({ schema: schema as never, keys: Object.fromEntries(partTypes.map((type) => [type, () => null])) });
}
