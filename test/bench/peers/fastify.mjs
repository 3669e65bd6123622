// The same facts by REST: https://fastify.dev/docs/latest/, with schemas of the responses, by which Fastify serializes.
import fastify from 'fastify';
import { openData, redacted, shownKind } from './data.mjs';
import { serve } from './serve.mjs';
import { tokenVerifier } from './tokens.mjs';

const text = { type: 'string' };
const textOrNull = { type: ['string', 'null'] };
const object = (properties) => ({ type: 'object', properties });
const list = (items) => ({ type: 'array', items });
const credential = object({
  id: text,
  name: text,
  kind: text,
  usages: object({ nodes: list(object({ name: text })) }),
  username: textOrNull,
  password: object({ redacted: text }),
});
const connection = object({
  id: text,
  name: text,
  connector: object({ name: text }),
  endUser: object({ displayName: textOrNull }),
  actionCredentials: list(object({ credential })),
});

await serve(async ({ database, secret }) => {
  const [dataOf, organizationOf] = [await openData(database), tokenVerifier(secret)];
  const app = fastify();
  app.decorateRequest('organization', '');
  app.addHook('onRequest', async (request) => {
    request.organization = await organizationOf(request.headers.authorization);
  });
  const response = (schema) => ({ schema: { response: { 200: object({ data: schema }) } } });
  app.get('/viewer', response(object({ viewer: object({ kind: text }) })), async () => ({ data: { viewer: { kind: 'TOKEN' } } }));
  app.get('/connections', response(object({ connections: object({ nodes: list(connection) }) })), async (request) => {
    const data = dataOf(request.organization);
    const page = await data.connections(Number(request.query.first));
    const nodes = page.map(async ({ _id, name, connectorId, endUserId, actionCredentials }) => {
      const [connector, endUser, bindings] = await Promise.all([
        connectorId && data.connector(connectorId),
        endUserId && data.endUser(endUserId),
        Promise.all(
          actionCredentials.map(async ({ credentialId }) => {
            const [found, usages] = await Promise.all([data.credential(credentialId), data.usages(credentialId, 5)]);
            const basic = found.kind === 'basicAuth' && { username: found.settings.username, password: { redacted: redacted(found) } };
            return { credential: { id: found._id, name: found.name, kind: shownKind(found), usages: { nodes: usages }, ...basic } };
          }),
        ),
      ]);
      return { id: _id, name, connector, endUser, actionCredentials: bindings };
    });
    return { data: { connections: { nodes: await Promise.all(nodes) } } };
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server;
});
