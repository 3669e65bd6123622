import { type GraphQLSchema, getOperationAST, OperationTypeNode, type ValidationRule } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { may } from '../access/viewer.ts';
import { ForbiddenError } from '../errors.ts';
import { type GraphQLContext, requiredScopes } from '../schema/index.ts';
import { answer, type OnDefect, publicError } from './public-error.ts';
import { quietValidate } from './validation-rules.ts';
import { variableIssues } from './variables.ts';

/**
 * How an operation is checked and run, whoever sent it: nothing that a caller sent is repeated by an error, and a mutation operation that
 * lacks a scope anywhere does nothing at all.
 */
export function useCarefulExecution(schema: GraphQLSchema): Plugin<GraphQLContext> {
  return {
    onValidate({ setValidationFn }) {
      setValidationFn((schema, document, rules, typeInfo, options) =>
        quietValidate(schema, document, rules as readonly ValidationRule[], typeInfo, options),
      );
    },
    onExecute({ args, setResultAndStopExecution }) {
      const operation = getOperationAST(args.document, args.operationName);
      if (!operation) return; // graphql-js says so
      const variables = (args.variableValues ?? {}) as Record<string, unknown>;
      const issues = variableIssues(schema, operation, variables);
      if (issues.length > 0) {
        const errors = issues.map(({ path, message }) =>
          answer('BAD_USER_INPUT', `The variable ${path.join('.')} ${message}.`, { path, http: { status: 400 } }),
        );
        return setResultAndStopExecution({ errors });
      }
      if (operation.operation !== OperationTypeNode.MUTATION) return;
      const { viewer } = args.contextValue as GraphQLContext;
      const missing = [...requiredScopes(schema, args.document, operation, variables)].filter((scope) => !may(viewer, scope));
      if (missing.length > 0) {
        setResultAndStopExecution({
          errors: missing.map((scope) => answer('FORBIDDEN', new ForbiddenError(scope).message, { scope, http: { status: 403 } })),
        });
      }
    },
  };
}

/** The result, its errors as the caller may see them. */
export function publicResult<R extends { readonly errors?: readonly unknown[] }>(result: R, onDefect: OnDefect): R {
  return result.errors ? { ...result, errors: result.errors.map((error) => publicError(error, onDefect)) } : result;
}
