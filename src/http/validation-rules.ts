import {
  type ASTVisitor,
  type DocumentNode,
  type GraphQLError,
  type GraphQLSchema,
  getNamedType,
  isInputObjectType,
  isLeafType,
  type ValidationContext,
  type ValidationRule,
  ValuesOfCorrectTypeRule,
  validate,
} from 'graphql';
import { answer } from './public-error.ts';

/**
 * graphql-js's `validate`, without what would repeat a value: no suggestions, and inline literals of the wrong type are reported by the type
 * that is expected there. The rule that checks them still decides; only its words are replaced.
 */
export function quietValidate(
  schema: GraphQLSchema,
  document: DocumentNode,
  rules: readonly ValidationRule[],
  typeInfo: undefined,
  options: object | undefined,
): GraphQLError[] {
  const quiet = rules.map((rule) => (rule === ValuesOfCorrectTypeRule ? QuietValuesOfCorrectTypeRule : rule));
  return validate(schema, document, quiet, { ...options, hideSuggestions: true }, typeInfo).map((error) =>
    answer('GRAPHQL_VALIDATION_FAILED', error.message, {}, error),
  );
}

function QuietValuesOfCorrectTypeRule(context: ValidationContext): ASTVisitor {
  const quiet = Object.create(context, {
    reportError: {
      value: (error: GraphQLError) => {
        const expected = context.getInputType() ?? context.getParentInputType();
        const type = expected && getNamedType(expected);
        const message =
          type && isInputObjectType(type)
            ? `A value here does not fit the input type ${type.name}: a member is missing, unknown or given twice, or it must have exactly one.`
            : type && isLeafType(type)
              ? `A value here is not of the type ${String(expected)}.`
              : 'A value here is not of the type that is expected.';
        context.reportError(answer('GRAPHQL_VALIDATION_FAILED', message, {}, error));
      },
    },
  });
  return ValuesOfCorrectTypeRule(quiet);
}
