import {
  type DocumentNode,
  type GraphQLObjectType,
  type GraphQLSchema,
  getArgumentValues,
  getNamedType,
  isAbstractType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Scope } from '../../access/scopes.ts';
import type { AlsoNeeds } from './mutation.ts';
import { fragmentsOf, rootFieldsOf } from './selections.ts';

/** Extensions of a field whose objects the viewer may read in any case, because others are left out. Their types then require no scope. */
export interface ReadableExtensions {
  readonly isReadable?: true;
}

interface Declared extends ReadableExtensions {
  readonly pothosOptions?: { readonly authScopes?: { readonly scope?: Scope } };
  readonly alsoNeeds?: AlsoNeeds;
}

/**
 * Returns the scopes that a query or a subscription cannot do without: those of its root fields that are never null. If such a field is refused, the data of the
 * whole response is null. So the query is refused as a whole, as a mutation is, before anything is read.
 */
export function indispensableScopes(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): Set<Scope> {
  const known = schema.getRootType(operation.operation)!.getFields();
  const fields = rootFieldsOf(document, operation, variables).flatMap(({ name }) => known[name.value] ?? []);
  return new Set(fields.filter(({ type }) => isNonNullType(type)).flatMap((field) => scopeOf(field) ?? []));
}

/** Returns the scope that a type or a field requires, if it requires one. */
function scopeOf({ extensions }: { readonly extensions: unknown }): Scope | undefined {
  return (extensions as Declared).pothosOptions?.authScopes?.scope;
}

/**
 * Returns every scope that a mutation operation requires: for its mutations, their arguments, and everything selected in their results.
 * They are checked before the first mutation runs. Otherwise a mutation could write before another is refused, or a write could succeed
 * and its result be refused, which would look like a failure to the caller.
 */
export function requiredScopes(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): Set<Scope> {
  const required = new Set<Scope>();
  const fragments = fragmentsOf(document);
  // The scopes of a selection set depend only on its type. Without this cache, nested unions and spreads would take exponential time.
  const seen = new Map<SelectionSetNode, Set<string>>();

  function declared(element: { readonly extensions: unknown }): void {
    const scope = scopeOf(element);
    if (scope) required.add(scope);
  }

  function walk(selectionSet: SelectionSetNode, parent: GraphQLObjectType, isReadable = false): void {
    const places = seen.get(selectionSet) ?? new Set();
    seen.set(selectionSet, places);
    const place = `${parent.name} ${isReadable}`;
    if (places.has(place)) return;
    places.add(place);
    for (const selection of selectionSet.selections) {
      if (selection.kind === Kind.FIELD) {
        const field = parent.getFields()[selection.name.value];
        if (!field) continue; // __typename
        if (!isReadable) declared(parent);
        declared(field);
        const { alsoNeeds, isReadable: givesReadable } = field.extensions as Declared;
        if (alsoNeeds) for (const scope of alsoNeeds(getArgumentValues(field, selection, variables) as never)) required.add(scope);
        if (!selection.selectionSet) continue;
        for (const type of possibleTypes(getNamedType(field.type) as GraphQLObjectType)) walk(selection.selectionSet, type, givesReadable);
      } else {
        const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
        const condition = fragment?.typeCondition && schema.getType(fragment.typeCondition.name.value);
        if (!fragment || (condition && !possibleTypes(condition as GraphQLObjectType).includes(parent))) continue;
        walk(fragment.selectionSet, parent, isReadable);
      }
    }
  }
  function possibleTypes(type: GraphQLObjectType): readonly GraphQLObjectType[] {
    if (isAbstractType(type)) return schema.getPossibleTypes(type);
    return isObjectType(type) ? [type] : [];
  }

  walk(operation.selectionSet, schema.getMutationType()!);
  return required;
}
