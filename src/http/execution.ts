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
import { CostLimitError, type ErrorCode, ForbiddenError, type Issue, LimitExceededError, OperationTimeoutError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type GraphQLContext, indispensableScopes, operationCost, type Progress, requiredScopes, tooOften } from '../schema/index.ts';
import type { ServerContext } from './access-log.ts';
import { validateDocument } from './document-validation.ts';
import { answer, type OnDefect, publicError, unknownOperation } from './error-redaction.ts';
import { checkDocument, checkTokens, hasLongList } from './limits/document.ts';
import { variableIssues } from './variables.ts';

/** The maximum number of errors about variables that are reported at once, and of those that say the same of different items of a list. */
const ISSUES_MAX = 50;
const SAME_ISSUES_MAX = 5;

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
      const issues = fewOfEach(variableIssues(schema, operation, variables));
      if (issues.length > 0) {
        const errors = issues
          .slice(0, ISSUES_MAX)
          .map(({ path, message }) => answer('BAD_USER_INPUT', `The variable ${path.join('.')} ${message}.`, { path }));
        return setResultAndStopExecution({ errors });
      }
      // The coerced variables include defaults, so the cost is that of what will run.
      const { coerced = {} } = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
      const cost = operationCost(schema, args.document, operation, coerced);
      (args.contextValue as ServerContext).cost = cost;
      if (cost > limits.maxCost) throw new CostLimitError(cost, limits.maxCost);
      const isMutation = operation.operation === OperationTypeNode.MUTATION;
      const { viewer, refusals, requestId, address } = args.contextValue as GraphQLContext;
      (args.contextValue as ServerContext).isMutation = isMutation;
      if (isMutation) {
        const exceeded = tooOften(schema, args.document, operation, coerced);
        if (exceeded) {
          refusals.add(viewer, rootFieldsOf(schema, operation), 'LIMIT_EXCEEDED', { requestId, address });
          throw new LimitExceededError(`The operation contains ${exceeded.name} too often`, 'PER_REQUEST', exceeded.perRequest);
        }
        const missing = [...requiredScopes(schema, args.document, operation, coerced)].filter((scope) => !may(viewer, scope));
        if (missing.length > 0) {
          refusals.add(viewer, rootFieldsOf(schema, operation), 'FORBIDDEN', { requestId, address });
          return setResultAndStopExecution({ errors: missing.map(forbidden) });
        }
      }
      if (operation.operation === OperationTypeNode.QUERY) {
        const missing = [...indispensableScopes(schema, args.document, operation, coerced)].filter((scope) => !may(viewer, scope));
        if (missing.length > 0) return setResultAndStopExecution({ errors: missing.map(forbidden) });
      }
      setExecuteFn((args) => withinTime((signal) => executeFn({ ...args, signal } as typeof args), limits.operationSeconds));
    },
  };
}

function fewOfEach(issues: readonly Issue[]): Issue[] {
  const counts = new Map<string, number>();
  return issues.filter(({ path, message }) => {
    const key = JSON.stringify([path.map((step) => (typeof step === 'number' ? 0 : step)), message]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return counts.get(key)! <= SAME_ISSUES_MAX;
  });
}

function forbidden(scope: string): GraphQLError {
  return answer('FORBIDDEN', new ForbiddenError(scope).message, { scope });
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

/** The errors of what a client may repeat later. */
const repeatable: readonly unknown[] = ['RATE_LIMITED', 'UNAVAILABLE'] satisfies ErrorCode[];

/**
 * Completes a result with errors of what a client may repeat: the caller is over a limit, or the database does not respond. They have a status of
 * their own only if nothing was carried out, because clients repeat such requests, and a client must not repeat a mutation that was carried out. Then
 * there is no data: to a client, the operation did not run.
 */
export function withOutcome<R extends { readonly data?: unknown; readonly errors?: readonly GraphQLError[] }>(
  result: R,
  isMutation: boolean,
  progress: Progress | undefined,
): R {
  if (!result.errors?.some(({ extensions }) => repeatable.includes(extensions.code))) return result;
  const isAnswered = isMutation
    ? progress?.hasSucceeded === true || ![undefined, 'NOT_EXECUTED'].includes(progress?.unavailable?.outcome)
    : Object.values(result.data ?? {})
        .flat()
        .some((value) => value !== null);
  const errors = result.errors.map((error) => {
    const { http, ...extensions } = error.extensions;
    const code = extensions.code as ErrorCode;
    if (!repeatable.includes(code)) return error;
    // Below its own field, a mutation was carried out, and only its result could not be read.
    const outcome = code === 'UNAVAILABLE' && isMutation && (error.path?.length ?? 0) > 1 ? { outcome: 'EXECUTED' } : {};
    return answer(code, error.message, { ...extensions, ...outcome, ...(isAnswered ? {} : { http }) }, error);
  });
  if (isAnswered) return { ...result, errors };
  const { data: _, ...refused } = result;
  return { ...refused, errors } as unknown as R;
}

/** Returns the names of the mutations in an operation. Names that are not in the schema come from the caller and are left out. */
function rootFieldsOf(schema: GraphQLSchema, { selectionSet }: OperationDefinitionNode): string {
  const known = schema.getMutationType()?.getFields() ?? {};
  const asked = selectionSet.selections.flatMap((each) => (each.kind === Kind.FIELD && each.name.value in known ? [each.name.value] : []));
  return [...new Set(asked)].sort().join(' ') || '(in fragments)';
}
