import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { GraphQLSchema } from 'graphql';
import type { Viewer } from '../access/viewer.ts';
import type { DomainContext } from '../domain/context.ts';
import type { FailedLogins } from '../domain/failed-logins.ts';
import type { SendProxied } from '../domain/proxy.ts';
import type { Refusals } from '../domain/refusals.ts';
import { loggableDefect, RateLimitedError, UnauthenticatedError, type UnavailableError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { createLoaders, type GraphQLContext, type Listening, type Progress } from '../schema/index.ts';
import { OAUTH_CALLBACK_PATH } from '../url.ts';
import { logRequest } from './access-log.ts';
import type { Authenticator } from './authenticate.ts';
import { defectMessages, type Sent } from './defect-message.ts';
import { documentRequired, malformedRequest, type OnDefect, unknownMethod } from './error-redaction.ts';
import { type Asked, createExecution, publicResult, type RawResult, type Replayed, type Subscribed, withOutcome } from './execution.ts';
import { createGraphiql, type GraphiqlSettings } from './graphiql/index.ts';
import { checkedKey, createFinisher, type Idempotency, idempotencyKeyIn, keptResult } from './idempotency.ts';
import { addressGroup } from './limits/address.ts';
import { checkDeclaredLength, hasReadableParameters, readJsonBody } from './limits/body.ts';
import { addressOf, costExtension, createRateLimits, quotaHeaders, type RateLimitSettings } from './limits/rate-limits.ts';
import { createListeners, type Place } from './listeners.ts';
import { acceptsEvents } from './negotiation.ts';
import { type Callback, callbackResponse } from './oauth-callback.ts';
import { checkedOperation, type Operation } from './operation.ts';
import { createOriginGuard, type OriginGuardSettings } from './origin-guard.ts';
import { pathResponse } from './paths.ts';
import { createProxyDoor, isProxied } from './proxy.ts';
import { refusalResponse } from './refusal.ts';
import type { HttpRequest, HttpResponse, ReadableRequest, RequestState } from './request.ts';
import { type Result, respond, sentResult, streamHeaders } from './response.ts';
import { readTarget } from './target.ts';
import { idMembers, isObject, namedText, type TrustedDocuments } from './trusted-documents.ts';

export type { Operation };

export interface HttpSettings extends OriginGuardSettings, GraphiqlSettings, RateLimitSettings {
  readonly schema: GraphQLSchema;
  /** Creates the domain's context for a viewer. */
  readonly contextOf: (viewer: Viewer) => DomainContext;
  /** The milliseconds since some moment, whatever happens to the clock. */
  readonly elapsed: () => number;
  readonly authenticate: Authenticator;
  /** Sends requests over connections. */
  readonly proxy: SendProxied;
  readonly idempotency: Idempotency;
  /** The documents that can be named by their ids. Undefined if there are none. */
  readonly trustedDocuments?: TrustedDocuments | undefined;
  /** Counts refused requests, for the audit log. */
  readonly refusals: Refusals;
  /** Counts requests without a valid token, for the log of the platform. */
  readonly failedLogins: FailedLogins;
  readonly logger: Logger;
  /** Handles the redirects of OAuth 2.0 services. */
  readonly callback: Callback;
  /** Whether GET /graphql serves GraphiQL to browsers. */
  readonly graphiql: boolean;
  /** Whether the log tells of a defect's message what is surely ours: for development. */
  readonly logsDefectMessages: boolean;
}

export interface ExecutionResult {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions: Record<string, unknown>;
  }[];
  /** Whether this is the answer that an earlier operation with the same idempotency key got. */
  readonly isReplayed?: true;
}

/** The cost of a proxied request: that of a mutation. */
const PROXY_COST = 25;

/** Creates the function that answers requests, and the one that runs operations without HTTP. */
export function createHttp(settings: HttpSettings) {
  const { schema, contextOf, authenticate, logger, refusals, failedLogins, limits } = settings;
  const tellOf = settings.logsDefectMessages ? defectMessages(schema) : undefined;
  const onDefect = (sent: () => Sent, requestId: string): OnDefect => {
    return (error) => logger.error({ requestId, defect: loggableDefect(error, tellOf?.(sent())) }, 'a resolver failed');
  };
  const run = createExecution(schema, limits, settings.idempotency, settings.trustedDocuments?.has);
  const finish = createFinisher(settings);
  const rateLimits = createRateLimits(settings);
  const guard = createOriginGuard(settings);
  const listeners = createListeners({
    limits,
    authenticate: (authorization) => authenticate({ authorization }),
    elapsed: settings.elapsed,
  });
  const graphiql = settings.graphiql ? createGraphiql(settings) : undefined;

  function createContext({ viewer, requestId, address }: RequestState, progress: Progress, listening?: Listening): GraphQLContext {
    const context = contextOf(viewer!);
    let loaders: GraphQLContext['loaders'] | undefined;
    return {
      ...context,
      // There are many, and some operations read nothing.
      get loaders() {
        loaders ??= createLoaders(context);
        return loaders;
      },
      refusals,
      requestId,
      address: address ?? null,
      progress,
      ...(listening && { listening }),
    };
  }

  /** Checks who sends a request, before its body is read: a caller without a token learns nothing about other errors in the request. */
  async function admit(request: ReadableRequest, state: RequestState, maxBodyBytes = limits.maxBodyBytes, bodyCost?: 0): Promise<Viewer> {
    state.address = addressOf(request, settings.trustedProxies);
    checkDeclaredLength(request, maxBodyBytes);
    try {
      return await rateLimits.admit(request, state, (guarding) => authenticate(request.headers, guarding), bodyCost);
    } catch (error) {
      // A valid token that is over its limit has a viewer.
      if (!state.viewer && (error instanceof UnauthenticatedError || error instanceof RateLimitedError)) {
        failedLogins.add(state.address && addressGroup(state.address), error.code);
      }
      throw error;
    }
  }

  const sendProxied = createProxyDoor({
    proxy: settings.proxy,
    contextOf,
    refusals,
    // Its body is passed on and not parsed, so it costs nothing.
    async admit(request, state) {
      const viewer = await admit(request, state, Number.POSITIVE_INFINITY, 0);
      state.cost = PROXY_COST;
      await rateLimits.chargeOperation(state);
      return viewer;
    },
  });

  /** Reads what a request asks for. It can be anything. @throws GraphQLError, RateLimitedError */
  async function parametersOf(request: ReadableRequest, state: RequestState): Promise<unknown> {
    if (!hasReadableParameters(request.url)) throw malformedRequest();
    if (request.method === 'GET') return parametersIn(request.url.searchParams);
    if (request.method !== 'POST') throw unknownMethod();
    return readJsonBody(request, limits.maxBodyBytes, (cost) => rateLimits.chargeBody(state, cost));
  }

  /** Answers a request of GraphQL. */
  async function graphqlResponse(request: ReadableRequest, state: RequestState): Promise<HttpResponse> {
    const progress: Progress = { hasSucceeded: false, unavailable: undefined, endsAt: Number.POSITIVE_INFINITY };
    let parameters: unknown;
    let result: RawResult | Subscribed | Replayed;
    let place: Place | undefined;
    try {
      await admit(request, state);
      const idempotencyKey = idempotencyKeyIn(request);
      parameters = await parametersOf(request, state);
      result = await run(askedIn(parameters, state.viewer!, settings.trustedDocuments), {
        state,
        mayMutate: request.method === 'POST',
        idempotencyKey,
        ...(acceptsEvents(request.headers) && {
          listening: {
            lastEventId: request.headers['last-event-id'] || undefined,
            beforeReading: () => rateLimits.chargeEvent(state),
            onKeyChange: () => place?.check(),
          },
        }),
        createContext: (listening) => createContext(state, progress, listening),
        charge: async (paying) => {
          await rateLimits.chargeOperation(paying);
          if (paying.isSubscription) place = listeners.enter(paying.viewer!, request.headers.authorization!);
        },
      });
    } catch (error) {
      result = { errors: [error] };
    }
    const shownOf = (raw: RawResult) =>
      publicResult(
        raw,
        onDefect(() => sentWith(request, parameters, state.viewer), state.requestId),
      );
    if ('events' in result) {
      const { events, resultOf } = result;
      const charge = () => rateLimits.chargeEvent(state);
      const body = place!.listen({ events, resultOf, charge, shown: shownOf, requestId: state.requestId });
      return { status: 200, headers: { ...streamHeaders, vary: 'accept, accept-encoding' }, body };
    }
    place?.leave();
    const isReplayed = 'replayed' in result;
    const completed: Result =
      'replayed' in result ? keptResult(result.replayed) : withOutcome(shownOf(result), state.isMutation === true, progress);
    if (state.viewer) await finish(state.viewer, progress, completed, state.requestId);
    const cost = costExtension(state);
    const response = await respond(
      cost ? { ...completed, extensions: { cost } } : completed,
      request.headers,
      state.isMutation === false,
      state.requestId,
    );
    return isReplayed ? { ...response, headers: { ...response.headers, 'idempotency-replayed': 'true' } } : response;
  }

  /** Answers a request, whatever it is. */
  async function responseTo(asSent: ReadableRequest, state: RequestState, refusal?: UnavailableError): Promise<HttpResponse> {
    // HEAD is served as GET without its content (RFC 9110, section 9.3.2), on every path but those of other services, and that of their redirects, which
    // can be answered once.
    const request = asSent.method === 'HEAD' && asSent.url.pathname !== OAUTH_CALLBACK_PATH ? { ...asSent, method: 'GET' } : asSent;
    try {
      const guarded = guard.check(request, isProxied(request));
      if (guarded) return await guarded;
      if (refusal) throw refusal;
      if (isProxied(request)) {
        return await sendProxied(
          asSent,
          state,
          onDefect(() => sentWith(request, undefined, state.viewer), state.requestId),
        );
      }
      if (request.url.pathname === OAUTH_CALLBACK_PATH) {
        state.address = addressOf(request, settings.trustedProxies);
        await rateLimits.admitAnonymous(state);
        return await callbackResponse(request, settings.callback, { address: state.address ?? null, requestId: state.requestId! });
      }
      const page = graphiql?.(request);
      const served = page && (await page);
      return served ?? pathResponse(request, settings.graphiql) ?? (await graphqlResponse(request, state));
    } catch (error) {
      // Errors of operations do not come here.
      const shown = publicResult(
        { errors: [error] },
        onDefect(() => sentWith(request, undefined, state.viewer), state.requestId),
      );
      return respond(shown, request.headers, false, state.requestId);
    }
  }

  return {
    /**
     * Answers a request. The only way into the gateway for what comes by HTTP: every check is made here or below, on plain values, so that it cannot
     * hold for `fetch` and not for sockets. With `refusal`, that is the answer to whatever may be asked.
     */
    async handle(request: HttpRequest, refusal?: UnavailableError): Promise<HttpResponse> {
      const startedAt = performance.now();
      const requestId = randomUUID();
      const state: RequestState = { requestId };
      const read = readTarget(request);
      const answer =
        'url' in read ? await responseTo({ ...request, ...read, requestId }, state, refusal) : refusalResponse(read, requestId);
      const { vary } = answer.headers;
      const headers = {
        ...guard.headersFor(request),
        ...answer.headers,
        ...guard.corsHeadersFor(request, vary),
        ...quotaHeaders(state),
        'x-request-id': requestId,
      };
      logRequest(logger, state, {
        method: request.method,
        pathname: 'url' in read ? read.url.pathname : '',
        status: answer.status,
        startedAt,
      });
      const isBodyless = request.method === 'HEAD';
      if (isBodyless && answer.body instanceof Readable) answer.body.destroy();
      return { status: answer.status, headers, body: isBodyless ? null : answer.body };
    },

    /** Ends all live queries, and refuses further ones. */
    endListeners: listeners.endAll,

    /** Runs an operation without HTTP, with the same checks. It has an id, too, which its errors, the log and the audit log tell. */
    async execute(given: Operation, refusal?: UnavailableError): Promise<ExecutionResult> {
      const requestId = randomUUID();
      let operation: Operation;
      try {
        operation = checkedOperation(given);
      } catch (error) {
        return sentAsData(
          publicResult({ errors: [error] }, () => {}),
          requestId,
        );
      }
      const { query, variables, operationName, viewer, idempotencyKey } = operation;
      const state: RequestState = { requestId, viewer };
      const progress: Progress = { hasSucceeded: false, unavailable: undefined, endsAt: Number.POSITIVE_INFINITY };
      const begin = async () => {
        if (refusal) throw refusal;
        return run(
          { query, variables, operationName },
          {
            state,
            mayMutate: true,
            idempotencyKey: idempotencyKey == null ? undefined : checkedKey(idempotencyKey),
            createContext: () => createContext(state, progress),
            charge: rateLimits.chargeOperation,
          },
        );
      };
      const result = await begin().catch((error: unknown): RawResult => ({ errors: [error] }));
      // Without a way to listen, none begins.
      if ('events' in result) throw new Error('A subscription has begun without a listener.');
      const sent = () => ({ query, values: [variables, operationName, viewer.subject, viewer.organizationId] });
      if ('replayed' in result) return { ...JSON.parse(result.replayed), isReplayed: true };
      const shown = publicResult(result, onDefect(sent, state.requestId));
      await finish(viewer, progress, shown, state.requestId);
      return sentAsData(shown, requestId);
    },
  };
}

/** Returns a result as plain data, as clients receive it. */
function sentAsData(result: Result, requestId: string): ExecutionResult {
  return JSON.parse(JSON.stringify(sentResult(result, requestId)));
}

/** Headers whose names every client sends, so that they are nobody's words. */
const ordinaryHeaders = ['connection', 'content-length', 'content-type', 'host'];

/** What came with a request; of a token's claims, those that are kept. */
function sentWith({ url, headers }: ReadableRequest, parameters: unknown, viewer: Viewer | undefined): Sent {
  const { query, ...others } = (parameters ?? {}) as { readonly query?: string };
  const { pathname, searchParams } = url;
  const headerTexts = Object.entries(headers).map(([name, value]) => (ordinaryHeaders.includes(name) ? value : `${name} ${value}`));
  return { query, values: [others, headerTexts, pathname, [...searchParams], viewer?.subject, viewer?.organizationId] };
}

/** Returns the parameters in a URL (GraphQL over HTTP, section "GET"). An empty one is the same as none. They were checked to be readable. */
function parametersIn(parameters: URLSearchParams): Record<string, unknown> {
  const text = (name: string) => parameters.get(name) || undefined;
  const json = (name: string) => JSON.parse(text(name) ?? 'null');
  const documentId = text('documentId');
  const others = { operationName: text('operationName'), variables: json('variables'), extensions: json('extensions') };
  return { query: text('query'), ...others, ...(documentId !== undefined && { documentId }) };
}

/** Other members that some clients add to a body. They have no meaning here. */
const ignoredMembers: readonly string[] = ['docId', 'queryId', 'hash'];
/** The members of a request (GraphQL over HTTP, section "Request Parameters"), and those of clients. */
const knownMembers: readonly string[] = ['query', 'variables', 'operationName', 'extensions', ...idMembers, ...ignoredMembers];

/**
 * Returns what the parameters of a request ask for.
 * @throws GraphQLError when they are not those of GraphQL over HTTP, or the viewer cannot run the document, because it is not a trusted one
 */
function askedIn(parameters: unknown, { kind }: Viewer, trusted: TrustedDocuments | undefined): Asked {
  if (!isObject(parameters)) throw malformedRequest();
  const { variables, operationName, extensions } = parameters;
  const query = namedText(parameters, trusted) ?? parameters.query;
  const isKnown = Object.entries(parameters).every(([name, value]) => value == null || knownMembers.includes(name));
  const isWellFormed =
    typeof query === 'string' &&
    (operationName == null || typeof operationName === 'string') &&
    (variables == null || isObject(variables)) &&
    (extensions == null || isObject(extensions));
  if (!isKnown || !isWellFormed) throw malformedRequest();
  // Whoever sends the text of a trusted document may run it.
  if (trusted?.isRequiredFor(kind) && !trusted.has(query)) throw documentRequired();
  // GraphQL over HTTP, section "GET": an empty name is the same as none. Some clients send one by POST, too.
  return { query, variables, operationName: operationName || undefined } as Asked;
}
