import { InMemoryCache, type TypePolicies } from '@apollo/client';
import type { schemaFacts } from './schema-facts.ts';

/** Parts and lists are replaced, never mixed with those of before. Of one page, several queries can select different fields. */
export function apolloCache({ possibleTypes, partTypes, lists }: ReturnType<typeof schemaFacts>): InMemoryCache {
  const typePolicies: TypePolicies = {};
  for (const [type, names] of Object.entries(lists)) {
    typePolicies[type] = {
      ...(partTypes.includes(type) && !/^(Query|Mutation|Subscription)$/.test(type) && { merge: /Page$|^PageInfo$/.test(type) }),
      fields: Object.fromEntries(names.map((name) => [name, { merge: false }])),
    };
  }
  return new InMemoryCache({ possibleTypes, typePolicies });
}
