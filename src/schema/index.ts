import { type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import { nouns } from '../access/nouns.ts';
import { kindOf } from '../credential-kinds/index.ts';
import { addAPIKey } from './api-key.ts';
import { addAudit } from './audit.ts';
import { createBuilder } from './builder.ts';
import { addConnection } from './connection.ts';
import { addConnector } from './connector.ts';
import { addCredential } from './credential.ts';
import { addCredentialKinds } from './credential-kinds.ts';
import { addEndUser } from './end-user.ts';
import { addEndUserToken } from './end-user-token.ts';
import { nounName } from './global-id.ts';
import { addIntegration } from './integration.ts';
import { createKit } from './kit.ts';
import { addNodeQueries } from './node.ts';
import { addSSOLink } from './sso-link.ts';
import { addViewer } from './viewer.ts';

export type { GraphQLContext } from './builder.ts';
export { operationCost } from './cost.ts';
export { createLoaders } from './loaders.ts';
export { requiredScopes } from './required-scopes.ts';

/** The whole schema, made anew at each call. */
export function createSchema(): GraphQLSchema {
  const builder = createBuilder();
  const kit = createKit(builder);
  const { userField } = addIntegration(builder, kit);
  addConnector(builder, kit);
  const { contactType } = addEndUser(builder, kit);
  const credentialInputs = addCredential(builder, kit);
  addConnection(builder, kit, credentialInputs);
  addSSOLink(builder, kit, { contactType, userField });
  addCredentialKinds(builder);
  addAPIKey(builder, kit);
  addEndUserToken(builder, kit);
  addAudit(builder, kit, addViewer(builder, kit));
  addNodeQueries(builder, kit.node, {
    ...Object.fromEntries(nouns.map((noun) => [noun, () => nounName(noun)])),
    credential: ({ kind }: { kind: string }) => kindOf(kind)!.typeName,
  });
  return builder.toSchema();
}

/** The schema as text, in the form that `schema.graphql` keeps. */
export function schemaText(schema: GraphQLSchema): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}
