import {
  type GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type OperationDefinitionNode,
  OperationTypeNode,
  type Source,
  type ValidationRule,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { may } from '../access/viewer.ts';
import { CostLimitError, ForbiddenError, LimitExceededError, OperationTimeoutError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type GraphQLContext, operationCost, type Progress, requiredScopes, tooOften } from '../schema/index.ts';
import type { ServerContext } from './access-log.ts';
import { validateDocument } from './document-validation.ts';
import { answer, type OnDefect, publicError, unknownOperation } from './error-redaction.ts';
import { checkDocument, checkTokens, hasLongList } from './limits/document.ts';
import { variableIssues } from './variables.ts';

/** The maximum number of errors about variables that are reported at once. */
const ISSUES_MAX = 50;

/**
 * Checks and runs every operation. Documents that are too large are rejected before they are traversed; errors do not repeat the input; and
 * if any scope is missing for any part of a mutation operation, none of it is carried out.
 */
export function useExecutionChecks(schema: GraphQLSchema, limits: Limits): Plugin<GraphQLContext> {
  return {
    onParse({ parseFn, setParseFn }) {
      setParseFn((source: string | Source, options) => {
        checkTokens(typeof source === 'string' ? source : source.body, limits);
        return parseFn(source, options);
      });
    },
    onValidate({ setValidationFn }) {
      setValidationFn((schema, document, rules, typeInfo, options) => {
        checkDocument(document, limits);
        const all = limits.introspection ? rules : [...rules, NoSchemaIntrospectionCustomRule];
        return validateDocument(schema, document, all as readonly ValidationRule[], typeInfo, options);
      });
    },
    onExecute({ args, setResultAndStopExecution, executeFn, setExecuteFn }) {
      const operation = getOperationAST(args.document, args.operationName);
      if (!operation) return setResultAndStopExecution({ errors: [unknownOperation()] });
      const variables = (args.variableValues ?? {}) as Record<string, unknown>;
      for (const { variable } of operation.variableDefinitions ?? []) {
        if (Object.hasOwn(variables, variable.name.value) && hasLongList(variables[variable.name.value], limits.maxListItems)) {
          throw new LimitExceededError(
            `The variable $${variable.name.value} holds a list with too many items`,
            'MAX_LIST_ITEMS',
            limits.maxListItems,
          );
        }
      }
      const issues = variableIssues(schema, operation, variables);
      if (issues.length > 0) {
        const errors = issues
          .slice(0, ISSUES_MAX)
          .map(({ path, message }) =>
            answer('BAD_USER_INPUT', `The variable ${path.join('.')} ${message}.`, { path, http: { status: 400 } }),
          );
        return setResultAndStopExecution({ errors });
      }
      // The coerced variables include defaults, so the cost is that of what will run.
      const { coerced = {} } = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
      const cost = operationCost(schema, args.document, operation, coerced);
      (args.contextValue as ServerContext).cost = cost;
      if (cost > limits.maxCost) throw new CostLimitError(cost, limits.maxCost);
      if (operation.operation === OperationTypeNode.MUTATION) {
        (args.contextValue as ServerContext).isMutation = true;
        const { viewer, refusals, requestId, address } = args.contextValue as GraphQLContext;
        const exceeded = tooOften(schema, args.document, operation, coerced);
        if (exceeded) {
          refusals.add(viewer, rootFieldsOf(schema, operation), 'LIMIT_EXCEEDED', { requestId, address });
          throw new LimitExceededError(`The operation contains ${exceeded.name} too often`, 'PER_REQUEST', exceeded.perRequest);
        }
        const missing = [...requiredScopes(schema, args.document, operation, coerced)].filter((scope) => !may(viewer, scope));
        if (missing.length > 0) {
          refusals.add(viewer, rootFieldsOf(schema, operation), 'FORBIDDEN', { requestId, address });
          return setResultAndStopExecution({
            errors: missing.map((scope) => answer('FORBIDDEN', new ForbiddenError(scope).message, { scope, http: { status: 403 } })),
          });
        }
      }
      setExecuteFn((args) => withinTime((signal) => executeFn({ ...args, signal } as typeof args), limits.operationSeconds));
    },
  };
}

/**
 * Runs an operation and aborts it when its time limit is reached. No field is started after that, so of several mutations the later ones
 * are not carried out.
 *
 * @throws OperationTimeoutError
 */
async function withinTime<T>(run: (signal: AbortSignal) => T, seconds: number): Promise<Awaited<T>> {
  const controller = new AbortController();
  const tooLate = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason));
  });
  const timer = setTimeout(() => controller.abort(new OperationTimeoutError(seconds)), seconds * 1_000);
  try {
    return await Promise.race([run(controller.signal), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the result with errors that may be shown to the caller. */
export function publicResult<R extends { readonly errors?: readonly unknown[] }>(
  result: R,
  onDefect: OnDefect,
): R & { readonly errors?: readonly GraphQLError[] } {
  const { errors } = result;
  return { ...result, ...(errors && { errors: errors.map((error) => publicError(error, onDefect)) }) };
}

/**
 * Completes the errors of a database that does not respond. The status is 503 only if nothing was carried out: a client that repeats a
 * request with this status must not repeat a mutation.
 */
export function withOutcome<R extends { readonly data?: unknown; readonly errors?: readonly GraphQLError[] }>(
  result: R,
  isMutation: boolean,
  progress: Progress | undefined,
): R {
  const isUnavailable = ({ extensions }: GraphQLError) => extensions.code === 'UNAVAILABLE';
  if (!result.errors?.some(isUnavailable)) return result;
  const isAnswered = isMutation
    ? progress?.hasSucceeded === true || ![undefined, 'NOT_EXECUTED'].includes(progress?.unavailable?.outcome)
    : Object.values(result.data ?? {})
        .flat()
        .some((value) => value !== null);
  const errors = result.errors.map((error) => {
    if (!isUnavailable(error)) return error;
    const { http, ...extensions } = error.extensions;
    // Below its own field, a mutation was carried out, and only its result could not be read.
    const outcome = isMutation && (error.path?.length ?? 0) > 1 ? { outcome: 'EXECUTED' } : {};
    return answer('UNAVAILABLE', error.message, { ...extensions, ...outcome, ...(isAnswered ? {} : { http }) }, error);
  });
  return { ...result, errors };
}

/** Returns the names of the mutations in an operation. Names that are not in the schema come from the caller and are left out. */
function rootFieldsOf(schema: GraphQLSchema, { selectionSet }: OperationDefinitionNode): string {
  const known = schema.getMutationType()?.getFields() ?? {};
  const asked = selectionSet.selections.flatMap((each) => (each.kind === Kind.FIELD && each.name.value in known ? [each.name.value] : []));
  return [...new Set(asked)].sort().join(' ') || '(in fragments)';
}
