import {
  type DocumentNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLSchema,
  getArgumentValues,
  getNamedType,
  getNullableType,
  isAbstractType,
  isCompositeType,
  isListType,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { fragmentsOf, isIncluded } from './selections.ts';

/**
 * The cost of a field, declared in the extensions of the field or of its type. About 1 for each object in the response; more if it needs
 * more work.
 */
export interface Cost {
  /** The cost of each returned object or value. By default 1 for objects and 0 for scalar values. */
  readonly own?: number | ((args: Readonly<Record<string, unknown>>) => number);
  /**
   * The number of returned objects. The cost of the selection is multiplied by it. By default 1, or LIST_SIZE if the field is a list.
   * `'page'` means the length of the page that the field belongs to.
   */
  readonly items?: 'page' | ((args: Readonly<Record<string, unknown>>) => number);
}

/** Extensions that declare a cost, or declare that a type is a page, whose length is given by the arguments `first` and `last`. */
export interface CostExtensions {
  readonly cost?: Cost;
  readonly isPage?: true;
}

/** The assumed length of a list that is not a page. Such lists have at most 20 items per object, and most have fewer. */
export const LIST_SIZE = 5;
/** The length of a page without `first` and `last`. */
export const PAGE_DEFAULT = 20;
/** The maximum length of a page. Pages and their costs must have the same, so it is defined once. */
export const PAGE_MAX = 100;
/** The cost of introspection, whatever is selected. */
const INTROSPECTION_COST = 100;
/** The basic cost of every operation. */
const OPERATION_COST = 1;

/**
 * Returns an upper bound of the cost of an operation, before it runs. For a union, the most expensive member counts; pages count in full;
 * fields that are selected twice count twice. `variables` must be coerced and include defaults.
 */
export function operationCost(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): number {
  const fragments = fragmentsOf(document);
  // The cost of a selection set depends only on the type and the page length. Without this cache, nested unions and nested fragments would
  // take exponential time.
  const known = new Map<SelectionSetNode, Map<string, number>>();

  function costOf(selectionSet: SelectionSetNode, type: GraphQLCompositeType, pageLength: number): number {
    if (isAbstractType(type)) return Math.max(0, ...schema.getPossibleTypes(type).map((each) => costOf(selectionSet, each, pageLength)));
    const ofSet = known.get(selectionSet) ?? new Map<string, number>();
    known.set(selectionSet, ofSet);
    const place = `${type.name} ${pageLength}`;
    const before = ofSet.get(place);
    if (before !== undefined) return before;
    let cost = 0;
    for (const selection of selectionSet.selections) {
      if (isIncluded(selection, variables)) cost += costOfSelection(selection, type as GraphQLObjectType, pageLength);
    }
    ofSet.set(place, cost);
    return cost;
  }

  function costOfSelection(selection: SelectionNode, type: GraphQLObjectType, pageLength: number): number {
    if (selection.kind !== Kind.FIELD) {
      const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
      const condition = fragment?.typeCondition && schema.getType(fragment.typeCondition.name.value);
      if (!fragment || (condition && condition !== type && !(isAbstractType(condition) && schema.isSubType(condition, type)))) return 0;
      return costOf(fragment.selectionSet, type, pageLength);
    }
    if (selection.name.value === '__schema' || selection.name.value === '__type') return INTROSPECTION_COST;
    const field = type.getFields()[selection.name.value];
    if (!field) return 0; // __typename
    const named = getNamedType(field.type);
    const { own: declared = isCompositeType(named) ? 1 : 0, items } = costDeclared(field);
    if (typeof declared === 'number' && !selection.selectionSet) return declared;
    const args = argumentsOf(field, selection, variables);
    const own = typeof declared === 'number' ? declared : declared(args);
    if (!isCompositeType(named) || !selection.selectionSet) return own;
    const length = isPage(named) ? pageLengthOf(args) : 0;
    const count =
      items === 'page' ? pageLength : items ? Math.max(1, items(args)) : isListType(getNullableType(field.type)) ? LIST_SIZE : 1;
    return count * (own + costOf(selection.selectionSet, named, length));
  }

  const root = schema.getRootType(operation.operation);
  return Math.min(Number.MAX_SAFE_INTEGER, OPERATION_COST + (root ? costOf(operation.selectionSet, root, 0) : 0));
}

function costDeclared(field: GraphQLField<unknown, unknown>): Cost {
  return (field.extensions as CostExtensions).cost ?? (getNamedType(field.type).extensions as CostExtensions).cost ?? {};
}

function isPage(type: GraphQLCompositeType): boolean {
  return (type.extensions as CostExtensions).isPage === true;
}

/** Returns the maximum length of a page. Contradictory arguments are refused later; here they must not lower the cost. */
function pageLengthOf({ first, last }: Readonly<Record<string, unknown>>): number {
  const given = [first, last].filter((length): length is number => typeof length === 'number' && length > 0);
  return given.length === 0 ? PAGE_DEFAULT : Math.min(PAGE_MAX, Math.max(...given));
}

function argumentsOf(
  field: GraphQLField<unknown, unknown>,
  selection: Parameters<typeof getArgumentValues>[1],
  variables: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  try {
    return getArgumentValues(field, selection, variables);
  } catch {
    return {}; // The arguments are invalid. The field itself will report the error.
  }
}
