// https://www.apollographql.com/docs/apollo-server/api/standalone
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { openData } from './data.mjs';
import { resolvers, typeDefs } from './schema.mjs';
import { serve } from './serve.mjs';
import { tokenVerifier } from './tokens.mjs';

await serve(async ({ database, secret }) => {
  const [dataOf, organizationOf] = [await openData(database), tokenVerifier(secret)];
  const { url } = await startStandaloneServer(new ApolloServer({ typeDefs, resolvers, introspection: false }), {
    listen: { port: 0, host: '127.0.0.1' },
    context: async ({ req }) => ({ data: dataOf(await organizationOf(req.headers.authorization)) }),
  });
  return Number(new URL(url).port);
});
