import {
  type DocumentNode,
  ExecutableDefinitionsRule,
  FieldsOnCorrectTypeRule,
  FragmentsOnCompositeTypesRule,
  type GraphQLError,
  type GraphQLSchema,
  getNamedType,
  isInputObjectType,
  isLeafType,
  isRequiredArgument,
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
  OverlappingFieldsCanBeMergedRule,
  PossibleFragmentSpreadsRule,
  ProvidedRequiredArgumentsRule,
  ScalarLeafsRule,
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
import { answer } from './error-redaction.ts';

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
  const errors = validate(schema, document, rules.map(withOwnMessages), { ...options, hideSuggestions: true }, typeInfo);
  // The only error that no rule reports is that there are too many errors.
  return errors.map((error) =>
    error.extensions.code ? error : answer('GRAPHQL_VALIDATION_FAILED', 'There are more errors than are listed here.'),
  );
}

function withOwnMessages(rule: ValidationRule): ValidationRule {
  return (context) => {
    const reportError = (error: GraphQLError) =>
      context.reportError(
        answer('GRAPHQL_VALIDATION_FAILED', wordings.get(rule)?.(context) ?? 'The document breaks a rule here.', {}, error),
      );
    return rule(Object.create(context, { reportError: { value: reportError } }));
  };
}

/** The message of each rule, which contains names of the schema only. The location of the error shows the rest. */
const wordings = new Map<ValidationRule, (context: ValidationContext) => string>([
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

function wrongValue(context: ValidationContext): string {
  const expected = context.getInputType() ?? context.getParentInputType();
  const type = expected && getNamedType(expected);
  if (type && isInputObjectType(type)) {
    return `A value here does not match the input type ${type.name}: a field is missing, unknown or given twice, or there must be exactly one field.`;
  }
  return type && isLeafType(type)
    ? `A value here does not have the type ${String(expected)}.`
    : 'A value here does not have the expected type.';
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
