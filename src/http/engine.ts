import type { GraphQLSchema } from 'graphql';
import { createYoga } from 'graphql-yoga';

/**
 * Creates the engine of GraphQL Yoga, which parses and executes documents. Yoga's parts for HTTP are off: `handle` reads requests and makes responses
 * itself. Its caches are off as well: `createExecution` keeps what it has found out about a document together with the document. It does not validate,
 * because it would give errors statuses of its own: `validateDocument` does.
 */
export function createEngine(schema: GraphQLSchema) {
  const yoga = createYoga({
    schema,
    parserAndValidationCache: false,
    graphiql: false,
    landingPage: false,
    cors: false,
    multipart: false,
    batching: false,
    // Yoga logs too much and masks too little. `publicResult` redacts errors instead.
    logging: false,
    maskedErrors: false,
  });
  return yoga.getEnveloped;
}
