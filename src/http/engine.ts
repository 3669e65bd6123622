import type { GraphQLSchema, ValidationRule } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import { validateDocument } from './document-validation.ts';

/** Parses, validates and executes documents. */
export type Engine = ReturnType<typeof createEngine>;

/**
 * Creates the engine of GraphQL Yoga for a schema, with its plugins. `handle` reads requests and makes responses itself, so Yoga's parts for HTTP are
 * off. Yoga's caches are off as well: `createExecution` keeps what it has found out about a document together with the document.
 */
export function createEngine(schema: GraphQLSchema, rules: readonly ValidationRule[]) {
  const plugin: Plugin = {
    onValidate({ setValidationFn }) {
      setValidationFn((_, document) => validateDocument(schema, document, rules, undefined, undefined));
    },
  };
  const yoga = createYoga({
    schema,
    plugins: [plugin],
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
