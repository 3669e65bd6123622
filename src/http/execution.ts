import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  execute as executeSelection,
  type FieldNode,
  type GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  type OperationDefinitionNode,
  OperationTypeNode,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Scope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import type { EventStream } from '../domain/live-events.ts';
import { CostLimitError, type ErrorCode, ForbiddenError, type Issue, LimitExceededError, OperationTimeoutError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import {
  type ActionExtensions,
  answersPlaintext,
  type GraphQLContext,
  indispensableScopes,
  type Listening,
  operationCost,
  type Progress,
  requiredScopes,
  rootFieldsOf,
  type TooOften,
  tooManyItems,
  tooOften,
} from '../schema/index.ts';
import { rulesFor, validateDocument } from './document-validation.ts';
import { createEngine } from './engine.ts';
import {
  answer,
  emptySubscription,
  mutationByGet,
  noOperations,
  type OnDefect,
  publicError,
  streamNotAccepted,
  unknownOperation,
} from './error-redaction.ts';
import { type Idempotency, requestText } from './idempotency.ts';
import { checkDocument, checkTokens, hasLongList } from './limits/document.ts';
import type { RequestState } from './request.ts';
import { variableIssues } from './variables.ts';

/** The maximum number of errors about variables that are reported at once, and of those that say the same of different items of a list. */
const ISSUES_MAX = 50;
const SAME_ISSUES_MAX = 5;
/**
 * The part of the time limit of an operation after which a mutation with several transactions starts no other one. So it can still tell what was
 * committed.
 */
const ENDING_AFTER = 0.7;
/** How many parsed documents are cached, and how long each may be. They are keyed by their text, so large ones would fill the memory. */
const KEPT_DOCUMENTS_MAX = 1_000;
const KEPT_DOCUMENT_MAX_LENGTH = 8 * 1024;

/** What a request asks for. */
export interface Asked {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
  readonly operationName?: string | null | undefined;
}

/** What a caller may do, and what an operation runs in. */
export interface Circumstances {
  readonly state: RequestState;
  /** Whether a mutation may be carried out: not by GET. */
  readonly mayMutate: boolean;
  /** The idempotency key of the request. It counts for a mutation operation only. */
  readonly idempotencyKey?: string | undefined;
  /** How a subscription is listened to. Undefined if the caller does not accept a stream. */
  readonly listening?: Listening;
  /** Called once the document is valid; for a subscription, also for each event. */
  readonly createContext: (listening?: Listening) => GraphQLContext;
  /** Pays for the operation, whose cost is in the state. @throws RateLimitedError, UnavailableError */
  readonly charge: (state: RequestState) => Promise<void>;
}

/** The result of an operation, before its errors are redacted. */
export interface RawResult {
  readonly data?: unknown;
  readonly errors?: readonly unknown[];
}

/** The answer of an earlier request with the same idempotency key, as JSON. */
export interface Replayed {
  readonly replayed: string;
}

/** A subscription that has begun. */
export interface Subscribed {
  readonly events: EventStream;
  /** Runs the selection of the subscription on an event. */
  readonly resultOf: (event: unknown) => Promise<RawResult>;
}

/** A parsed document, and what was found out about it so far. */
interface Prepared {
  readonly document: DocumentNode;
  /** The errors of validation. Undefined before it is validated. */
  errors: readonly GraphQLError[] | undefined;
  /** What is known of its operations that declare no variables. */
  readonly facts: Map<OperationDefinitionNode, Facts>;
}

/** What an operation and its variables say, whoever asks. */
interface Facts {
  readonly cost: number;
  /** The scopes without which nothing of it is carried out. */
  readonly scopes: readonly Scope[];
  readonly tooOften: TooOften | undefined;
  /** Why it asks for too much. */
  readonly tooMany: LimitExceededError | undefined;
}

/**
 * Creates the function that checks and runs operations. Documents that are too large are rejected before they are traversed; errors do not repeat
 * the input; and if any scope is missing for any part of a mutation operation, none of it is carried out.
 */
export function createExecution(
  schema: GraphQLSchema,
  limits: Limits,
  { reserve }: Pick<Idempotency, 'reserve'>,
  isTrusted: (text: string) => boolean = () => false,
) {
  const kept = new LRUCache<string, Prepared>({ max: KEPT_DOCUMENTS_MAX });
  const rules = rulesFor(limits);
  const engineFor = createEngine(schema);

  /** Parses a document, or finds it among those that were parsed last. @throws LimitExceededError, GraphQLError */
  function prepared(text: string, parse: (text: string) => DocumentNode): Prepared {
    const known = kept.get(text);
    if (known) return known;
    checkTokens(text, limits);
    const added: Prepared = { document: parse(text), errors: undefined, facts: new Map() };
    if (text.length <= KEPT_DOCUMENT_MAX_LENGTH || isTrusted(text)) kept.set(text, added);
    return added;
  }

  /** Returns the errors of a document. @throws LimitExceededError */
  function errorsOf(asked: Prepared): readonly GraphQLError[] {
    if (!asked.errors) {
      checkDocument(asked.document, limits);
      asked.errors = validateDocument(schema, asked.document, rules, undefined, undefined);
    }
    return asked.errors;
  }

  /** Returns the facts of an operation. Without variables, they are the same each time. `coerced` includes the defaults of variables. */
  function factsOf({ document, facts }: Prepared, operation: OperationDefinitionNode, coerced: Readonly<Record<string, unknown>>): Facts {
    const known = facts.get(operation);
    if (known) return known;
    const isMutation = operation.operation === OperationTypeNode.MUTATION;
    const cost = operationCost(schema, document, operation, coerced);
    // What is refused for this is not looked at further.
    if (cost > limits.maxCost) return { cost, scopes: [], tooOften: undefined, tooMany: undefined };
    const exceeded = isMutation ? tooOften(schema, document, operation, coerced) : undefined;
    const tooMany = operation.operation === OperationTypeNode.QUERY ? tooManyItems(schema, document, operation, coerced) : undefined;
    if (exceeded || tooMany) return { cost, scopes: [], tooOften: exceeded, tooMany };
    const scopes = [...(isMutation ? requiredScopes : indispensableScopes)(schema, document, operation, coerced)];
    const found: Facts = { cost, scopes, tooOften: undefined, tooMany: undefined };
    if (!operation.variableDefinitions?.length) facts.set(operation, found);
    return found;
  }

  /** Begins a subscription, or returns why it cannot. */
  async function subscribe(args: ExecutionArgs, createContext: Circumstances['createContext']): Promise<RawResult | Subscribed> {
    let isLate = false;
    const events = createSourceEventStream(args).then((begun) => {
      // Nobody would end it.
      if (isLate && 'end' in begun) (begun as unknown as EventStream).end();
      return begun as RawResult | EventStream;
    });
    const begun = await withinTime(() => events, limits.operationSeconds).catch((error) => {
      isLate = true;
      throw error;
    });
    if (!('end' in begun)) return { errors: begun.errors ?? [] };
    // Not by the engine, which would begin the subscription again.
    const resultOf = (event: unknown) =>
      withinTime(
        () => executeSelection({ ...args, rootValue: event, contextValue: createContext() }) as RawResult | Promise<RawResult>,
        limits.operationSeconds,
      );
    return { events: begun, resultOf };
  }

  /** @throws the errors of the gateway, and of graphql-js */
  return async (
    { query, variables, operationName }: Asked,
    { state, mayMutate, idempotencyKey, listening, createContext, charge }: Circumstances,
  ): Promise<RawResult | Subscribed | Replayed> => {
    const { parse, execute } = engineFor({});
    const asked = prepared(query, parse);
    const { document } = asked;
    const operation = getOperationAST(document, operationName);
    if (!operation) throw unknownOperation();
    if (!schema.getRootType(operation.operation)) throw noOperations();
    const isMutation = operation.operation === OperationTypeNode.MUTATION;
    if (isMutation && !mayMutate) throw mutationByGet();
    const isSubscription = operation.operation === OperationTypeNode.SUBSCRIPTION;
    if (isSubscription && !listening) throw streamNotAccepted();
    const errors = errorsOf(asked);
    if (errors.length > 0) return { errors };
    const context = createContext(isSubscription ? listening : undefined);
    const variableValues = variables ?? {};
    for (const { variable } of operation.variableDefinitions ?? []) {
      if (Object.hasOwn(variableValues, variable.name.value) && hasLongList(variableValues[variable.name.value], limits.maxListItems)) {
        throw new LimitExceededError(
          `The variable $${variable.name.value} holds a list with too many items`,
          'MAX_LIST_ITEMS',
          limits.maxListItems,
        );
      }
    }
    const issues = fewOfEach(variableIssues(schema, operation, variableValues));
    if (issues.length > 0) {
      return {
        errors: issues
          .slice(0, ISSUES_MAX)
          .map(({ path, message }) => answer('BAD_USER_INPUT', `The variable ${path.join('.')} ${message}.`, { path })),
      };
    }
    // The coerced variables include defaults, so the cost is that of what will run.
    const { coerced = {} } = getVariableValues(schema, operation.variableDefinitions ?? [], variableValues);
    if (isSubscription && rootFieldsOf(document, operation, coerced).length === 0) throw emptySubscription();
    const { cost, scopes, tooOften: exceeded, tooMany } = factsOf(asked, operation, coerced);
    state.cost = cost;
    if (cost > limits.maxCost) throw new CostLimitError(cost, limits.maxCost);
    if (tooMany) throw tooMany;
    state.isMutation = isMutation;
    state.isSubscription = isSubscription;
    const { viewer, refusals, requestId, address } = context;
    const refuse = (code: ErrorCode) => {
      if (!isMutation) return;
      const mutations = rootFieldsOf(document, operation, coerced);
      for (const name of actionsOf(schema, mutations)) refusals.add(viewer, name, code, { requestId, address });
    };
    if (exceeded) {
      refuse('LIMIT_EXCEEDED');
      throw new LimitExceededError(`The operation contains ${exceeded.name} too often`, 'PER_REQUEST', exceeded.perRequest);
    }
    const missing = scopes.filter((scope) => !may(viewer, scope));
    if (missing.length > 0) {
      refuse('FORBIDDEN');
      return { errors: missing.map(forbidden) };
    }
    await charge(state);
    if (isMutation && idempotencyKey !== undefined) {
      // Whatever is refused before leaves the key unused. The answer of an earlier request passes the same checks.
      const request = requestText(query, operationName, variableValues);
      const reserved = await reserve(context, { key: idempotencyKey, request, seconds: limits.operationSeconds });
      if ('answer' in reserved) return { replayed: reserved.answer };
      context.progress.reservation = reserved;
      context.progress.answersPlaintext = answersPlaintext(schema, document, operation, coerced);
    }
    context.progress.endsAt = performance.now() + limits.operationSeconds * ENDING_AFTER * 1_000;
    const args = { schema, document, contextValue: context, variableValues, ...(operationName && { operationName }) };
    if (isSubscription) return subscribe({ ...args, operationName: operationName ?? null }, createContext);
    return withinTime((signal) => execute({ ...args, signal } as ExecutionArgs) as RawResult | Promise<RawResult>, limits.operationSeconds);
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
  const deadline = new Deadline();
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      deadline.reason = new OperationTimeoutError(seconds);
      deadline.aborted = true;
      reject(deadline.reason);
    }, seconds * 1_000);
  });
  try {
    return await Promise.race([run(deadline as Partial<AbortSignal> as AbortSignal), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What the executor uses of an abort signal: it asks before it starts a field. Node's own signals take longer to create than a small operation to
 * run. Nobody needs to be told: `withinTime` does not wait for what is running.
 */
class Deadline {
  aborted = false;
  reason: OperationTimeoutError | undefined;
  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }
  addEventListener(): void {}
  removeEventListener(): void {}
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

/** Returns the names of the mutations that a valid operation asks for, as the audit log has them. */
function actionsOf(schema: GraphQLSchema, mutations: readonly FieldNode[]): Set<string> {
  const known = schema.getMutationType()!.getFields();
  return new Set(mutations.flatMap(({ name }) => (known[name.value]?.extensions as ActionExtensions | undefined)?.action ?? []));
}
