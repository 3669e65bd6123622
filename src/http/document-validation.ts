import {
  type DocumentNode,
  ExecutableDefinitionsRule,
  FieldsOnCorrectTypeRule,
  FragmentsOnCompositeTypesRule,
  type GraphQLError,
  type GraphQLInputObjectType,
  type GraphQLSchema,
  getNamedType,
  isInputObjectType,
  isLeafType,
  isNonNullType,
  isRequiredArgument,
  isRequiredInputField,
  Kind,
  KnownArgumentNamesRule,
  KnownDirectivesRule,
  KnownFragmentNamesRule,
  KnownTypeNamesRule,
  LoneAnonymousOperationRule,
  MaxIntrospectionDepthRule,
  NoFragmentCyclesRule,
  NoSchemaIntrospectionCustomRule,
  NoUndefinedVariablesRule,
  NoUnusedFragmentsRule,
  NoUnusedVariablesRule,
  type ObjectValueNode,
  OverlappingFieldsCanBeMergedRule,
  PossibleFragmentSpreadsRule,
  ProvidedRequiredArgumentsRule,
  ScalarLeafsRule,
  SingleFieldSubscriptionsRule,
  specifiedRules,
  UniqueArgumentNamesRule,
  UniqueDirectivesPerLocationRule,
  UniqueFragmentNamesRule,
  UniqueInputFieldNamesRule,
  UniqueOperationNamesRule,
  UniqueVariableNamesRule,
  type ValidationContext,
  type ValidationRule,
  ValuesOfCorrectTypeRule,
  VariablesAreInputTypesRule,
  VariablesInAllowedPositionRule,
  validate,
} from 'graphql';
import type { Limits } from '../limits.ts';
import { answer } from './error-redaction.ts';
import { valuesOf } from './variables.ts';

/** How many errors with the same message are listed. */
const SAME_ERRORS_MAX = 5;

/** Returns the rules that each document must keep to run. */
export function rulesFor({ introspection }: Pick<Limits, 'introspection'>): readonly ValidationRule[] {
  return introspection ? specifiedRules : [...specifiedRules, NoSchemaIntrospectionCustomRule];
}

/**
 * Runs graphql-js's `validate`, and replaces all messages that could repeat the document: a secret with missing quotes is a name there. The
 * rules themselves do not change.
 */
export function validateDocument(
  schema: GraphQLSchema,
  document: DocumentNode,
  rules: readonly ValidationRule[],
  typeInfo: undefined,
  options: object | undefined,
): GraphQLError[] {
  const all = rules.map(withOwnMessages);
  const errors = validate(schema, document, all, { ...options, hideSuggestions: true }, typeInfo);
  // The only error that no rule reports is that there are too many errors.
  const own = errors.filter(({ extensions }) => extensions.code);
  return withoutRepetition(own, own.length < errors.length);
}

/**
 * Returns the errors without those that say the same of the same place, and with a few of those that say the same of different places: who makes
 * one mistake fifty times is not helped by fifty errors, and would not find a second mistake among them.
 */
function withoutRepetition(errors: readonly GraphQLError[], areThereMore: boolean): GraphQLError[] {
  const places = new Map<string, Set<string>>();
  const told = errors.filter(({ message, locations }) => {
    const known = places.get(message) ?? new Set();
    places.set(message, known);
    const place = JSON.stringify(locations);
    if (known.has(place)) return false;
    known.add(place);
    return known.size <= SAME_ERRORS_MAX;
  });
  const isCut = areThereMore || [...places.values()].some(({ size }) => size > SAME_ERRORS_MAX);
  return isCut ? [...told, answer('GRAPHQL_VALIDATION_FAILED', 'There are more errors than are listed here.')] : told;
}

function withOwnMessages(rule: ValidationRule): ValidationRule {
  return (context) => {
    const reportError = (error: GraphQLError) =>
      context.reportError(
        answer('GRAPHQL_VALIDATION_FAILED', wordings.get(rule)?.(context, error) ?? 'The document breaks a rule here.', {}, error),
      );
    return rule(Object.create(context, { reportError: { value: reportError } }));
  };
}

/** The message of each rule, which contains names of the schema only. The location of the error shows the rest. */
const wordings = new Map<ValidationRule, (context: ValidationContext, error: GraphQLError) => string>([
  [ValuesOfCorrectTypeRule, wrongValue],
  [FieldsOnCorrectTypeRule, (context) => `The type ${context.getParentType()} has no such field.`],
  [KnownArgumentNamesRule, (context) => `${argumentsOwner(context)} has no such argument.`],
  [ProvidedRequiredArgumentsRule, requiredArguments],
  [
    ScalarLeafsRule,
    (context) => {
      const type = context.getType();
      return type && isLeafType(getNamedType(type)) ? `${type} has no fields to select.` : `Fields of ${type} must be selected.`;
    },
  ],
  [KnownTypeNamesRule, () => 'There is no such type.'],
  [KnownDirectivesRule, () => 'There is no such directive, or it is not allowed here.'],
  [KnownFragmentNamesRule, () => 'There is no such fragment in the document.'],
  [FragmentsOnCompositeTypesRule, () => 'A fragment must be on an object, interface or union.'],
  [PossibleFragmentSpreadsRule, (context) => `The type of the fragment can never apply to ${context.getParentType()}.`],
  [NoFragmentCyclesRule, () => 'The fragment spreads itself.'],
  [NoUnusedFragmentsRule, () => 'The fragment is not used.'],
  [NoUndefinedVariablesRule, () => 'The variable is not declared by the operation.'],
  [NoUnusedVariablesRule, () => 'The variable is not used.'],
  [VariablesAreInputTypesRule, () => 'The type of a variable must be a scalar, an enum or an input.'],
  [VariablesInAllowedPositionRule, () => 'The type of the variable does not match the type that is expected here.'],
  [
    OverlappingFieldsCanBeMergedRule,
    () => 'Fields with the same name conflict here: they or their arguments differ. Use an alias for one of them.',
  ],
  [ExecutableDefinitionsRule, () => 'The document may contain only operations and fragments.'],
  [SingleFieldSubscriptionsRule, () => 'A subscription must select exactly one field, which is not one of introspection.'],
  [LoneAnonymousOperationRule, () => 'An operation without a name must be the only one.'],
  [UniqueOperationNamesRule, () => 'There are several operations with this name.'],
  [UniqueFragmentNamesRule, () => 'There are several fragments with this name.'],
  [UniqueVariableNamesRule, () => 'The variable is declared more than once.'],
  [UniqueArgumentNamesRule, () => 'The argument is given more than once.'],
  [UniqueInputFieldNamesRule, () => 'The input field is given more than once.'],
  [UniqueDirectivesPerLocationRule, () => 'The directive may be used only once here.'],
  [NoSchemaIntrospectionCustomRule, () => 'Introspection is disabled.'],
  [MaxIntrospectionDepthRule, () => 'The introspection is nested too deeply.'],
]);

/** How many names of fields a message lists. */
const NAMES_MAX = 20;

/** Names what the schema expects: its types and the names of their fields. Of what the document contains, nothing is named. */
function wrongValue(context: ValidationContext, { nodes }: GraphQLError): string {
  const [node] = nodes ?? [];
  if (node?.kind === Kind.OBJECT_FIELD) {
    const parent = getNamedType(context.getParentInputType());
    return isInputObjectType(parent)
      ? `The input type ${parent.name} has no such field.${namesOf(parent)}`
      : 'The input type has no such field.';
  }
  const expected = context.getInputType();
  const type = expected && getNamedType(expected);
  if (node?.kind === Kind.NULL && expected && isNonNullType(expected)) return `A value here must not be null: its type is ${expected}.`;
  if (type && isInputObjectType(type) && node?.kind === Kind.OBJECT) return wrongObject(type, node);
  if (!type) return 'A value here does not have the expected type.';
  const values = valuesOf(type);
  return `A value here does not have the type ${String(expected)}.${values && ` Its values: ${values}.`}`;
}

/** Returns what is wrong with an object whose single fields are valid: a field is missing, or it must have exactly one. */
function wrongObject(type: GraphQLInputObjectType, { fields }: ObjectValueNode): string {
  if (type.isOneOf) return `A value of the input type ${type.name} must have exactly one field, which must not be null.${namesOf(type)}`;
  const given = new Set(fields.map(({ name }) => name.value));
  const missing = Object.values(type.getFields()).filter((field) => isRequiredInputField(field) && !given.has(field.name));
  if (missing.length === 0) return `A value here does not match the input type ${type.name}.`;
  return `The input type ${type.name} requires the fields ${missing.map((field) => `${field.name}: ${field.type}`).join(', ')}, which are missing here.`;
}

/** Returns a sentence with the fields of an input type, if they are few. */
function namesOf(type: GraphQLInputObjectType): string {
  const names = Object.keys(type.getFields());
  return names.length <= NAMES_MAX ? ` Its fields: ${names.join(', ')}.` : '';
}

function requiredArguments(context: ValidationContext): string {
  const { args = [] } = context.getDirective() ?? context.getFieldDef() ?? {};
  const required = args.filter(isRequiredArgument).map(({ name, type }) => `${name}: ${type}`);
  return `${argumentsOwner(context)} requires the arguments ${required.join(', ')}.`;
}

/** Returns the directive or field that the arguments here belong to. */
function argumentsOwner(context: ValidationContext): string {
  const directive = context.getDirective();
  return directive ? `@${directive.name}` : `${context.getParentType()}.${context.getFieldDef()?.name}`;
}
