import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { isIncluded } from './cost.ts';

/** The extension of a mutation that declares how often one request can run it. */
export interface PerRequestExtensions {
  readonly perRequest?: number;
}

/** A mutation that an operation contains more often than one request can run it. */
export interface TooOften {
  readonly name: string;
  readonly perRequest: number;
}

/**
 * Returns the first mutation that an operation would run more often than it declares (`perRequest`), whatever aliases and fragments it is
 * selected by. Fields of the same response name run once, and so count once. `variables` must be coerced and include defaults.
 */
export function tooOften(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): TooOften | undefined {
  const mutations = schema.getMutationType()!.getFields();
  const fragments = new Map(
    document.definitions
      .filter((definition): definition is FragmentDefinitionNode => definition.kind === Kind.FRAGMENT_DEFINITION)
      .map((fragment) => [fragment.name.value, fragment]),
  );
  const responseNames = new Map<string, Set<string>>();
  // A fragment adds the same fields each time, so each is visited once, as graphql-js does.
  const visited = new Set<FragmentDefinitionNode>();

  function collect({ selections }: SelectionSetNode): void {
    for (const selection of selections) {
      if (!isIncluded(selection, variables)) continue;
      if (selection.kind === Kind.FIELD) {
        const name = selection.name.value;
        const names = responseNames.get(name) ?? new Set();
        responseNames.set(name, names.add(selection.alias?.value ?? name));
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        collect(selection.selectionSet);
      } else {
        const fragment = fragments.get(selection.name.value);
        if (!fragment || visited.has(fragment)) continue;
        visited.add(fragment);
        collect(fragment.selectionSet);
      }
    }
  }

  collect(operation.selectionSet);
  for (const [name, { size }] of responseNames) {
    const { perRequest } = (mutations[name]?.extensions ?? {}) as PerRequestExtensions;
    if (perRequest !== undefined && size > perRequest) return { name, perRequest };
  }
  return undefined;
}
