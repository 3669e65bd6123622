import type { DocumentNode, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import type { ActionExtensions } from './mutation.ts';
import { ranRootFields, rootFieldsOf } from './selections.ts';

/** The extension of a mutation that declares how often one request can run it, and so that it answers a plaintext. */
export interface PerRequestExtensions {
  readonly perRequest?: number;
}

/** A mutation that an operation contains more often than one request can run it. */
export interface TooOften {
  /** The name of the mutation, as in `schema.graphql`. */
  readonly name: string;
  readonly perRequest: number;
}

/** Returns whether the answer of an operation can contain a plaintext: it runs a mutation that declares `perRequest`. */
export function answersPlaintext(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): boolean {
  const mutations = schema.getMutationType()!.getFields();
  return rootFieldsOf(document, operation, variables).some(({ name }) => mutations[name.value] && givesPlaintext(mutations[name.value]!));
}

/** Returns whether the answer of a mutation can contain a plaintext: it declares `perRequest`. */
export function givesPlaintext({ extensions }: { readonly extensions: unknown }): boolean {
  return (extensions as PerRequestExtensions).perRequest !== undefined;
}

/**
 * Returns the first mutation that an operation would run more often than it declares (`perRequest`), whatever aliases and fragments it is
 * selected by. `variables` must be coerced and include defaults.
 */
export function tooOften(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): TooOften | undefined {
  const mutations = schema.getMutationType()!.getFields();
  const counts = new Map<string, number>();
  for (const { name } of ranRootFields(document, operation, variables)) counts.set(name.value, (counts.get(name.value) ?? 0) + 1);
  for (const [name, count] of counts) {
    const { perRequest, action = name } = (mutations[name]?.extensions ?? {}) as PerRequestExtensions & ActionExtensions;
    if (perRequest !== undefined && count > perRequest) return { name: action, perRequest };
  }
  return undefined;
}
