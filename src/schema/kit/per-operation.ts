import { type DocumentNode, type GraphQLSchema, getArgumentValues, type OperationDefinitionNode } from 'graphql';
import { LimitExceededError } from '../../errors.ts';
import { ranRootFields } from './selections.ts';

/** The extension of a query that declares how many items all its fields in one operation may ask for together. */
export interface PerOperationExtensions {
  readonly perOperation?: {
    /** Returns the number of items that the arguments ask for. */
    readonly itemsOf: (args: Readonly<Record<string, unknown>>) => number;
    readonly maximum: number;
    /** The name of the limit. */
    readonly limit: string;
    /** The beginning of the message. */
    readonly what: string;
  };
}

/**
 * Returns the error for a query operation whose fields ask for more items than they declare (`perOperation`), whatever aliases and fragments they are
 * selected by. `variables` must be coerced and include defaults.
 */
export function tooManyItems(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): LimitExceededError | undefined {
  const queries = schema.getQueryType()!.getFields();
  const asked = new Map<string, number>();
  for (const node of ranRootFields(document, operation, variables)) {
    const field = queries[node.name.value];
    const { perOperation } = (field?.extensions ?? {}) as PerOperationExtensions;
    if (!field || !perOperation) continue;
    const { itemsOf, maximum, limit, what } = perOperation;
    let items = asked.get(field.name) ?? 0;
    try {
      items += itemsOf(getArgumentValues(field, node, variables));
    } catch {
      // The arguments are invalid. The field itself will report the error.
    }
    if (items > maximum) return new LimitExceededError(what, limit, maximum);
    asked.set(field.name, items);
  }
  return undefined;
}
