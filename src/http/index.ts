import type { DocumentNode, GraphQLSchema } from 'graphql';
import { createYoga, type Plugin, type YogaServerInstance } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Viewer } from '../access/viewer.ts';
import type { DomainContext } from '../domain/context.ts';
import type { Refusals } from '../domain/refusals.ts';
import { loggableDefect, UnauthenticatedError } from '../errors.ts';
import { createLoaders, type GraphQLContext } from '../schema/index.ts';
import { type ServerContext, useAccessLog } from './access-log.ts';
import type { Authenticator } from './authenticate.ts';
import { malformedRequest } from './error-redaction.ts';
import { publicResult, useExecutionChecks } from './execution.ts';
import { type GraphiqlSettings, useGraphiql } from './graphiql/index.ts';
import { addressOf, createRateLimits, type RateLimitSettings } from './limits/rate-limits.ts';
import { type OriginGuardSettings, useOriginGuard } from './origin-guard.ts';

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
  readonly logger: Logger;
  /** Whether GET /graphql serves GraphiQL to browsers. */
  readonly graphiql: boolean;
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
  const { schema, contextOf, authenticate, logger, refusals } = settings;
  const onDefect = (error: unknown) => logger.error({ defect: loggableDefect(error) }, 'a resolver failed');
  const careful = useExecutionChecks(schema, settings.limits) as Plugin;
  const rateLimits = createRateLimits(settings);

  const yoga = createYoga<ServerContext, GraphQLContext>({
    schema,
    context: ({ viewer, requestId, address }) => {
      const context = contextOf(viewer!);
      return { ...context, loaders: createLoaders(context), refusals, requestId: requestId ?? null, address: address ?? null };
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
    maxRequestBodySize: settings.limits.maxBodyBytes,
    parserAndValidationCache: { documentCache: keptDocuments(), errorCache: { get: () => undefined, set: () => undefined } },
    // Yoga logs too much and masks too little. `publicResult` redacts errors instead.
    logging: false,
    maskedErrors: false,
    plugins: [
      useAccessLog(logger) as Plugin,
      useOriginGuard(settings),
      ...(settings.graphiql ? [useGraphiql(settings)] : []),
      {
        // Runs before the body is read: a caller without a token learns nothing about other errors in the request.
        async onRequestParse({ request, url, serverContext }: { request: Request; url: URL; serverContext: ServerContext }) {
          serverContext.address = addressOf(request, serverContext, settings.trustedProxies);
          await rateLimits
            .admit(request, serverContext, () => authenticate(request.headers))
            .catch((error: unknown) => {
              if (error instanceof UnauthenticatedError) refusals.addAnonymous();
              throw error;
            });
          if (!hasReadableParameters(url)) throw malformedRequest();
        },
        onResultProcess({ result, setResult }) {
          if (!(Symbol.asyncIterator in result) && !Array.isArray(result))
            setResult(publicResult(result as { errors?: readonly unknown[] }, onDefect) as typeof result);
        },
      } as Plugin,
      careful,
      rateLimits.plugin as Plugin,
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
      return JSON.parse(JSON.stringify(publicResult(result, onDefect), (key, value) => (key === 'http' ? undefined : value)));
    },
  };
}

/** Returns whether the JSON in a URL's parameters is valid. Yoga parses it without catching errors. */
function hasReadableParameters({ searchParams }: URL): boolean {
  return ['variables', 'extensions'].every((name) => {
    try {
      return JSON.parse(searchParams.get(name) || '{}') !== undefined;
    } catch {
      return false;
    }
  });
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
