import { type DocumentNode, type GraphQLSchema, getArgumentValues, type OperationDefinitionNode } from 'graphql';
import { LimitExceededError } from '../../errors.ts';
import { rootFieldsOf } from './selections.ts';

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
 * selected by. Fields of the same response name run once, and so count once. `variables` must be coerced and include defaults.
 */
export function tooManyItems(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): LimitExceededError | undefined {
  const queries = schema.getQueryType()!.getFields();
  const declared = Object.values(queries).filter(({ extensions }) => (extensions as PerOperationExtensions).perOperation);
  if (declared.length === 0) return undefined;
  const selected = rootFieldsOf(document, operation, variables);
  for (const field of declared) {
    const { itemsOf, maximum, limit, what } = (field.extensions as PerOperationExtensions).perOperation!;
    // Those of one response name have the same arguments, or the document is not valid.
    const ran = new Map(selected.filter(({ name }) => name.value === field.name).map((node) => [(node.alias ?? node.name).value, node]));
    let items = 0;
    for (const node of ran.values()) {
      try {
        items += itemsOf(getArgumentValues(field, node, variables));
      } catch {
        // The arguments are invalid. The field itself will report the error.
      }
    }
    if (items > maximum) return new LimitExceededError(what, limit, maximum);
  }
  return undefined;
}
