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
 * graphql-js's `validate`, without what would repeat the document: a secret whose quotes were forgotten, or that broke out of them, is a
 * name there. The rules decide as they are; only their words are replaced.
 */
export function validateDocument(
  schema: GraphQLSchema,
  document: DocumentNode,
  rules: readonly ValidationRule[],
  typeInfo: undefined,
  options: object | undefined,
): GraphQLError[] {
  const errors = validate(schema, document, rules.map(withOwnMessages), { ...options, hideSuggestions: true }, typeInfo);
  // What no rule says is that there are too many errors.
  return errors.map((error) =>
    error.extensions.code ? error : answer('GRAPHQL_VALIDATION_FAILED', 'There are more errors than are told.'),
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

/** What a rule found, told by names of the schema alone. The error's location tells the rest. */
const wordings = new Map<ValidationRule, (context: ValidationContext) => string>([
  [ValuesOfCorrectTypeRule, wrongValue],
  [FieldsOnCorrectTypeRule, (context) => `The type ${context.getParentType()} has no such field.`],
  [KnownArgumentNamesRule, (context) => `There is no such argument of ${argumentsOwner(context)}.`],
  [ProvidedRequiredArgumentsRule, requiredArguments],
  [
    ScalarLeafsRule,
    (context) => {
      const type = context.getType();
      return type && isLeafType(getNamedType(type)) ? `${type} has no fields to select.` : `Fields of ${type} must be selected.`;
    },
  ],
  [KnownTypeNamesRule, () => 'There is no such type.'],
  [KnownDirectivesRule, () => 'There is no such directive, or it cannot stand here.'],
  [KnownFragmentNamesRule, () => 'There is no such fragment in the document.'],
  [FragmentsOnCompositeTypesRule, () => 'A fragment must be on an object, interface or union.'],
  [PossibleFragmentSpreadsRule, (context) => `The fragment is on a type that ${context.getParentType()} can never be.`],
  [NoFragmentCyclesRule, () => 'The fragment spreads itself.'],
  [NoUnusedFragmentsRule, () => 'The fragment is not used.'],
  [NoUndefinedVariablesRule, () => 'The variable is not declared by the operation.'],
  [NoUnusedVariablesRule, () => 'The variable is not used.'],
  [VariablesAreInputTypesRule, () => 'The type of a variable must be a scalar, an enum or an input.'],
  [VariablesInAllowedPositionRule, () => 'The variable is used where its type does not fit.'],
  [OverlappingFieldsCanBeMergedRule, () => 'Fields of one name conflict here: they differ, or their arguments do. Give one an alias.'],
  [ExecutableDefinitionsRule, () => 'The document may hold operations and fragments only.'],
  [LoneAnonymousOperationRule, () => 'An operation without a name must be the only one.'],
  [UniqueOperationNamesRule, () => 'There are several operations of this name.'],
  [UniqueFragmentNamesRule, () => 'There are several fragments of this name.'],
  [UniqueVariableNamesRule, () => 'The variable is declared several times.'],
  [UniqueArgumentNamesRule, () => 'The argument is given several times.'],
  [UniqueInputFieldNamesRule, () => 'The member is given several times.'],
  [UniqueDirectivesPerLocationRule, () => 'The directive may stand here only once.'],
  [NoSchemaIntrospectionCustomRule, () => 'The schema may not be asked for: introspection is off.'],
  [MaxIntrospectionDepthRule, () => 'The schema is asked for too deeply.'],
]);

function wrongValue(context: ValidationContext): string {
  const expected = context.getInputType() ?? context.getParentInputType();
  const type = expected && getNamedType(expected);
  if (type && isInputObjectType(type)) {
    return `A value here does not fit the input type ${type.name}: a member is missing, unknown or given twice, or it must have exactly one.`;
  }
  return type && isLeafType(type)
    ? `A value here is not of the type ${String(expected)}.`
    : 'A value here is not of the type that is expected.';
}

function requiredArguments(context: ValidationContext): string {
  const { args = [] } = context.getDirective() ?? context.getFieldDef() ?? {};
  const required = args.filter(isRequiredArgument).map(({ name, type }) => `${name}: ${type}`);
  return `${argumentsOwner(context)} must be given ${required.join(', ')}.`;
}

/** What an argument here is of. */
function argumentsOwner(context: ValidationContext): string {
  const directive = context.getDirective();
  return directive ? `@${directive.name}` : `${context.getParentType()}.${context.getFieldDef()?.name}`;
}
