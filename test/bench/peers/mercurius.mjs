// https://mercurius.dev/#/docs/api/options: `jit: 1` compiles an operation after its first execution.
import fastify from 'fastify';
import mercurius from 'mercurius';
import { openData } from './data.mjs';
import { resolvers, typeDefs } from './schema.mjs';
import { serve } from './serve.mjs';
import { tokenVerifier } from './tokens.mjs';

await serve(async ({ database, secret }) => {
  const [dataOf, organizationOf] = [await openData(database), tokenVerifier(secret)];
  const { CredentialBase, ...rest } = resolvers;
  const app = fastify();
  await app.register(mercurius, {
    schema: typeDefs,
    resolvers: { ...rest, CredentialBase: { resolveType: CredentialBase.__resolveType } },
    context: async (request) => ({ data: dataOf(await organizationOf(request.headers.authorization)) }),
    jit: 1,
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server;
});
