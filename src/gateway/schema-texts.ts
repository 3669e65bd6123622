import { builtInKinds } from '../credential-kinds/index.ts';
import { createKindRegistry } from '../credential-kinds/registry.ts';
import { createSchema, schemaText as printedSchema, subgraphText as printedSubgraph } from '../schema/index.ts';
import type { GatewayOptions } from './options.ts';

/** The schema of a gateway with the built-in credential kinds, as `schema.graphql` holds it. */
export function schemaText(): string {
  return printedSchema(createSchema(createKindRegistry(builtInKinds)));
}

/**
 * The text of the subgraph of a gateway with these credential kinds; of the built-in ones by default. `subgraph.graphql` holds it with the defaults.
 * @throws SchemaNamesError
 */
export function subgraphText({
  federation = {},
  names,
  credentialKinds = builtInKinds,
}: Pick<GatewayOptions, 'federation' | 'names' | 'credentialKinds'> = {}): string {
  return printedSubgraph(createSchema(createKindRegistry(credentialKinds), { federation, names }), federation);
}
