import { GraphQLOneOfDirective, type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import type { KindRegistry } from '../credential-kinds/registry.ts';
import { checkGiven, defaultNames, type FederationOptions, type SchemaNames } from '../schema-names.ts';
import { addAPIKey } from './api-key.ts';
import { addAudit } from './audit.ts';
import { addAuthorization } from './authorization.ts';
import { addConnection } from './connection.ts';
import { addConnector } from './connector.ts';
import { addCredential } from './credential.ts';
import { addCredentialKinds } from './credential-kinds.ts';
import { addDeletePreview } from './delete-preview.ts';
import { addEndUser } from './end-user.ts';
import { addEndUserToken } from './end-user-token.ts';
import { addEvent } from './event.ts';
import { addFederation } from './federation.ts';
import { addIntegration } from './integration.ts';
import { createKit } from './kit/index.ts';
import { renamed } from './rename.ts';
import { addRevocation } from './revocation.ts';
import { addSSOLink } from './sso-link.ts';
import { addUse } from './use.ts';
import { addViewer } from './viewer.ts';
import { addWebhook } from './webhook.ts';

export { shownEntry } from './audit.ts';
export { cursorOfEvent } from './event.ts';
export type { GraphQLContext, Listening, Progress } from './kit/builder.ts';
export { operationCost } from './kit/cost.ts';
export { createLoaders } from './kit/loaders.ts';
export type { ActionExtensions } from './kit/mutation.ts';
export { tooManyItems } from './kit/per-operation.ts';
export { answersPlaintext, type TooOften, tooOften } from './kit/per-request.ts';
export { indispensableScopes, requiredScopes } from './kit/required-scopes.ts';
export { rootFieldsOf } from './kit/selections.ts';
export { renamedDocument } from './rename.ts';
export { subgraphText } from './subgraph.ts';

/** The parts of the schema. Their order does not matter. */
const parts = [
  addIntegration,
  addConnector,
  addEndUser,
  addConnection,
  addCredential,
  addCredentialKinds,
  addSSOLink,
  addAuthorization,
  addAPIKey,
  addEndUserToken,
  addRevocation,
  addAudit,
  addEvent,
  addDeletePreview,
  addUse,
  addViewer,
  addWebhook,
];

export interface SchemaOptions {
  /** How it is a subgraph. If undefined, it is none. */
  readonly federation?: FederationOptions | undefined;
  /** Other names than those of `schema.graphql`. */
  readonly names?: SchemaNames | undefined;
}

/**
 * Creates the schema for a gateway with these credential kinds. Each call creates a new one.
 * @throws SchemaNamesError
 * @throws Error when `federation.adds` is not a list of additions
 */
export function createSchema(kinds: KindRegistry, { federation, names = defaultNames }: SchemaOptions = {}): GraphQLSchema {
  checkGiven(names, federation);
  const kit = createKit(kinds, names);
  for (const add of parts) add(kit);
  if (federation) addFederation(kit, federation);
  // In the order of the source: sorting copies the whole schema, at each start.
  return renamed(kit.builder.toSchema({ sortSchema: false }), names);
}

/**
 * Returns the schema as text, in the form of `schema.graphql`. It declares `@oneOf`, which graphql-js leaves out because it knows the directive:
 * tools that are older than the directive refuse a file that uses it without a declaration.
 */
export function schemaText(schema: GraphQLSchema): string {
  const { name, description, locations } = GraphQLOneOfDirective;
  const oneOf = `"""${description}"""\ndirective @${name} on ${locations.join(' | ')}`;
  return `${oneOf}\n\n${printSchema(lexicographicSortSchema(schema))}\n`;
}
