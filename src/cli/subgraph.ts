import { ConfigError, readSubgraphConfig } from '../config/index.ts';
import { SchemaNamesError } from '../schema-names.ts';

/** Returns the text of the subgraph, as the settings have it. Needs neither a database nor a key. @throws ConfigError */
export async function subgraph(environment: Readonly<Record<string, string | undefined>>): Promise<string> {
  const config = readSubgraphConfig(environment);
  const { subgraphText } = await import('../gateway/index.ts');
  try {
    return subgraphText(config);
  } catch (error) {
    throw error instanceof SchemaNamesError ? new ConfigError(namesProblem(error)) : error;
  }
}

/** Returns what is wrong with the names of the schema, as a sentence for each problem. */
export function namesProblem({ wrong }: SchemaNamesError): string {
  return wrong.map((problem) => `TYPE_NAMES or ROOT_FIELDS: ${problem}.`).join('\n');
}
