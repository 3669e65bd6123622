// https://the-guild.dev/graphql/yoga-server/docs
import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';
import { openData } from './data.mjs';
import { resolvers, typeDefs } from './schema.mjs';
import { serve } from './serve.mjs';
import { tokenVerifier } from './tokens.mjs';

await serve(async ({ database, secret }) => {
  const [dataOf, organizationOf] = [await openData(database), tokenVerifier(secret)];
  const yoga = createYoga({
    schema: createSchema({ typeDefs, resolvers }),
    context: async ({ request }) => ({ data: dataOf(await organizationOf(request.headers.get('authorization'))) }),
    graphiql: false,
    landingPage: false,
    logging: false,
  });
  return createServer(yoga);
});
