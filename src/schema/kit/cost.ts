import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  GraphQLIncludeDirective,
  type GraphQLObjectType,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getArgumentValues,
  getDirectiveValues,
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

/**
 * What a field costs, declared in the extensions of the field, or of the type that it gives. About one for each object that is made for
 * the answer; more where more is done for it.
 */
export interface Cost {
  /** For each object or value that it gives. Unless told: 1 for objects, 0 for plain values. */
  readonly own?: number | ((args: Readonly<Record<string, unknown>>) => number);
  /**
   * How many objects it gives, each of which costs what is selected of it. Unless told: 1, or LIST_SIZE when it is a list. `'page'`: as many
   * as the page that it is a field of.
   */
  readonly items?: 'page' | ((args: Readonly<Record<string, unknown>>) => number);
}

/** Extensions that declare a cost, or that a type is a page, whose length the arguments `first` and `last` of a field give. */
export interface CostExtensions {
  readonly cost?: Cost;
  readonly isPage?: true;
}

/** How long a list is taken to be that is not a page. None is longer than 20 times an object, and most are shorter. */
const LIST_SIZE = 5;
/** The length of a page whose arguments do not tell, or tell nonsense. */
const PAGE_DEFAULT = 20;
const PAGE_MAX = 100;
/** What the whole schema costs, however much of it is asked for. */
const INTROSPECTION_COST = 100;
/** For an operation as such: it is read, checked and answered. */
const OPERATION_COST = 1;

/**
 * What an operation may cost at most, known before it runs: of a union's members the dearest counts, pages count in full, and what is
 * selected twice counts twice. `variables` are coerced, with their defaults.
 */
export function operationCost(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): number {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  // Each selection set costs the same on the same type and in a page of the same length. Without this, nested unions and nested fragments
  // would take exponential time.
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

/** The most that a page can hold. Arguments that contradict each other are refused later; here they must not make it look short. */
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
    return {}; // The field will fail, and say so.
  }
}

function isIncluded(selection: SelectionNode, variables: Readonly<Record<string, unknown>>): boolean {
  try {
    if (getDirectiveValues(GraphQLSkipDirective, selection, variables)?.if === true) return false;
    return getDirectiveValues(GraphQLIncludeDirective, selection, variables)?.if !== false;
  } catch {
    return true;
  }
}
