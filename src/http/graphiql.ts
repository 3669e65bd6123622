import { renderGraphiQL } from '@graphql-yoga/render-graphiql';

/** The page that GET /graphql shows to a browser. */
export function graphiqlPage(): string {
  return renderGraphiQL({ title: 'credential-gateway' });
}
