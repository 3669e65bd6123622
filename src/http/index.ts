import type { DocumentNode, GraphQLSchema } from 'graphql';
import { createYoga, type GraphQLParams, type Plugin, type YogaServerInstance } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Viewer } from '../access/viewer.ts';
import type { DomainContext } from '../domain/context.ts';
import type { FailedLogins } from '../domain/failed-logins.ts';
import type { Refusals } from '../domain/refusals.ts';
import { loggableDefect, RateLimitedError, UnauthenticatedError } from '../errors.ts';
import { createLoaders, type GraphQLContext } from '../schema/index.ts';
import { type ServerContext, useAccessLog } from './access-log.ts';
import type { Authenticator } from './authenticate.ts';
import { defectMessages, type Sent } from './defect-message.ts';
import { malformedRequest, noPersistedDocuments, type OnDefect } from './error-redaction.ts';
import { publicResult, useExecutionChecks, withOutcome } from './execution.ts';
import { type GraphiqlSettings, useGraphiql } from './graphiql/index.ts';
import { addressGroup } from './limits/address.ts';
import { checkDeclaredLength, hasReadableParameters, readJsonBody } from './limits/body.ts';
import { addressOf, createRateLimits, incomingOf, type RateLimitSettings } from './limits/rate-limits.ts';
import { type OriginGuardSettings, useOriginGuard } from './origin-guard.ts';
import { useHead, usePaths } from './paths.ts';
import { respond, sentResult } from './response.ts';

/** How many parsed documents are cached, and how long each may be. They are keyed by their text, so large ones would fill the memory. */
const KEPT_DOCUMENTS_MAX = 1_000;
const KEPT_DOCUMENT_MAX_LENGTH = 8 * 1024;

export interface HttpSettings extends OriginGuardSettings, GraphiqlSettings, RateLimitSettings {
  readonly schema: GraphQLSchema;
  /** Creates the domain's context for a viewer. */
  readonly contextOf: (viewer: Viewer) => DomainContext;
  readonly authenticate: Authenticator;
  /** Counts refused requests, for the audit log. */
  readonly refusals: Refusals;
  /** Counts requests without a valid token, for the log of the platform. */
  readonly failedLogins: FailedLogins;
  readonly logger: Logger;
  /** Whether GET /graphql serves GraphiQL to browsers. */
  readonly graphiql: boolean;
  /** Whether the log tells of a defect's message what is surely ours: for development. */
  readonly logsDefectMessages: boolean;
}

/** An operation that is run from code, on behalf of a viewer. */
export interface Operation {
  readonly query: string;
  readonly variables?: Record<string, unknown>;
  readonly operationName?: string;
  readonly viewer: Viewer;
}

export interface ExecutionResult {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions: Record<string, unknown>;
  }[];
}

/** Creates the GraphQL server, and the function that runs operations without HTTP. */
export function createHttp(settings: HttpSettings) {
  const { schema, contextOf, authenticate, logger, refusals, failedLogins } = settings;
  const tellOf = settings.logsDefectMessages ? defectMessages(schema) : undefined;
  const onDefect = (sent: () => Sent, requestId?: string): OnDefect => {
    return (error) => logger.error({ requestId, defect: loggableDefect(error, tellOf?.(sent())) }, 'a resolver failed');
  };
  /** What requests asked for, while they are answered. */
  const parameters = new WeakMap<Request, GraphQLParams>();
  const careful = useExecutionChecks(schema, settings.limits) as Plugin;
  const rateLimits = createRateLimits(settings);

  const yoga = createYoga<ServerContext, GraphQLContext>({
    schema,
    context: ({ viewer, requestId, address }) => {
      const context = contextOf(viewer!);
      const progress = { hasSucceeded: false, unavailable: undefined };
      return { ...context, loaders: createLoaders(context), refusals, requestId: requestId ?? null, address: address ?? null, progress };
    },
    graphqlEndpoint: '/graphql',
    // Yoga's own page loads scripts and styles from a CDN.
    graphiql: false,
    landingPage: false,
    // Yoga responds to every URL that ends in this, before all plugins. No URL ends in a space. `useOriginGuard` has our own health check.
    healthCheckEndpoint: ' ',
    cors: false,
    multipart: false,
    batching: false,
    extraParamNames: [...ignoredMembers],
    // `readJsonBody` limits the body instead.
    maxRequestBodySize: false,
    parserAndValidationCache: { documentCache: keptDocuments(), errorCache: { get: () => undefined, set: () => undefined } },
    // Yoga logs too much and masks too little. `publicResult` redacts errors instead.
    logging: false,
    maskedErrors: false,
    plugins: [
      useAccessLog(logger) as Plugin,
      useHead() as Plugin,
      useOriginGuard(settings),
      ...(settings.graphiql ? [useGraphiql(settings)] : []),
      usePaths(settings),
      {
        // Runs before the body is read: a caller without a token learns nothing about other errors in the request.
        async onRequestParse({ request, url, serverContext: given, setRequestParser }) {
          const serverContext = given as ServerContext;
          serverContext.address = addressOf(request, serverContext, settings.trustedProxies);
          const { maxBodyBytes } = settings.limits;
          checkDeclaredLength(request, maxBodyBytes);
          await rateLimits
            .admit(request, serverContext, (guard) => authenticate(request.headers, guard))
            .catch((error: unknown) => {
              // A valid token that is over its limit has a viewer.
              if (!serverContext.viewer && (error instanceof UnauthenticatedError || error instanceof RateLimitedError)) {
                failedLogins.add(serverContext.address && addressGroup(serverContext.address), error.code);
              }
              throw error;
            });
          if (!hasReadableParameters(url)) throw malformedRequest();
          if (request.method === 'POST') {
            const charge = (cost: number) => rateLimits.chargeBody(serverContext, cost);
            setRequestParser(async () => parametersIn(await readJsonBody(request, incomingOf(serverContext), maxBodyBytes, charge)));
          }
        },
        onParams({ request, params, setParams }: { request: Request; params: GraphQLParams; setParams: (params: GraphQLParams) => void }) {
          parameters.set(request, params);
          if (asksForPersistedDocument(params)) throw noPersistedDocuments();
          const { operationName } = (params ?? {}) as { operationName?: unknown };
          if (operationName != null && typeof operationName !== 'string') throw malformedRequest();
          // GraphQL over HTTP, section "GET": an empty name is the same as none. Some clients send one by POST, too.
          if (operationName === '') setParams({ ...params, operationName: undefined as never });
        },
        onResultProcess({ request, result, setResult, serverContext }) {
          if (Symbol.asyncIterator in result || Array.isArray(result)) return;
          const context = serverContext as ServerContext;
          const sent = () => sentWith(request, parameters.get(request), context.viewer);
          const { progress } = context as Partial<GraphQLContext>;
          const shown = publicResult(result as { errors?: readonly unknown[] }, onDefect(sent, context.requestId));
          setResult(withOutcome(shown, context.isMutation === true, progress) as typeof result);
        },
      } as Plugin,
      careful,
      rateLimits.plugin as Plugin,
      {
        // After all plugins that change the result. Yoga's own responses ignore the weights in Accept, and use its statuses.
        onResultProcess({ request, setResultProcessor, serverContext }) {
          const { isMutation } = serverContext as ServerContext;
          setResultProcessor(
            (result, fetchAPI) => respond(result as object, fetchAPI, request, isMutation === false) as unknown as Response,
            'application/json',
          );
        },
      } as Plugin,
    ],
  });

  return {
    yoga: yoga as unknown as YogaServerInstance<ServerContext, GraphQLContext>,

    /** Runs an operation without HTTP, with the same checks. */
    async execute({ query, variables, operationName, viewer }: Operation): Promise<ExecutionResult> {
      const enveloped = yoga.getEnveloped({ viewer } as never);
      const run = async (): Promise<{ errors?: readonly unknown[] }> => {
        const document = enveloped.parse(query);
        const errors = enveloped.validate(enveloped.schema, document);
        if (errors.length > 0) return { errors };
        const contextValue = await enveloped.contextFactory();
        return enveloped.execute({ schema: enveloped.schema, document, contextValue, variableValues: variables, operationName });
      };
      const result = await run().catch((error: unknown) => ({ errors: [error] }));
      const sent = () => ({ query, values: [variables, operationName, viewer.subject, viewer.organizationId] });
      return JSON.parse(JSON.stringify(sentResult(publicResult(result, onDefect(sent)))));
    },
  };
}

/**
 * Members that clients add to a body, and that have no meaning here: Relay's and Apollo's names for a persisted document. With `query`, they are
 * ignored.
 */
const ignoredMembers: readonly string[] = ['id', 'doc_id', 'docId', 'documentId', 'queryId', 'hash'];

/** Returns whether a request names a persisted document and contains none itself. Apollo's clients then send it again, with the document. */
function asksForPersistedDocument(params: GraphQLParams): boolean {
  if (typeof params !== 'object' || params === null || params.query != null) return false;
  const { extensions } = params;
  return (
    ignoredMembers.some((name) => name in params) ||
    (typeof extensions === 'object' && extensions !== null && 'persistedQuery' in extensions)
  );
}

/** Headers whose names every client sends, so that they are nobody's words. */
const ordinaryHeaders = ['connection', 'content-length', 'content-type', 'host'];

/** What came with a request; of a token's claims, those that are kept. */
function sentWith({ url, headers }: Request, params: GraphQLParams | undefined, viewer: Viewer | undefined): Sent {
  const { query, ...others } = params ?? {};
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const headerTexts = [...headers].map(([name, value]) => (ordinaryHeaders.includes(name) ? value : `${name} ${value}`));
  return { query, values: [others, headerTexts, pathname, [...searchParams], viewer?.subject, viewer?.organizationId] };
}

/** Returns the parameters of a request from its body. A list of them is refused later. @throws GraphQLError */
function parametersIn(body: unknown): GraphQLParams {
  if (typeof body !== 'object' || body === null) throw malformedRequest();
  return body;
}

/** A cache of the parsed documents that were added last. */
function keptDocuments() {
  const kept = new Map<string, DocumentNode>();
  return {
    get: (text: string) => kept.get(text),
    set(text: string, document: DocumentNode) {
      if (text.length > KEPT_DOCUMENT_MAX_LENGTH) return;
      kept.set(text, document);
      if (kept.size > KEPT_DOCUMENTS_MAX) kept.delete(kept.keys().next().value!);
    },
  };
}
