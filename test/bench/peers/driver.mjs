// The driver and node:http, and nothing else: the five commands that a person would write.
import { createServer } from 'node:http';
import { MongoClient } from 'mongodb';
import { redacted, shownKind } from './data.mjs';
import { serve } from './serve.mjs';
import { tokenVerifier } from './tokens.mjs';

await serve(async ({ database: { uri, name }, secret }) => {
  const organizationOf = tokenVerifier(secret);
  const database = (await new MongoClient(uri).connect()).db(name);
  const byId = (records) => new Map(records.map((record) => [record._id, record]));

  async function page(organizationId, first) {
    const read = (collection, filter, projection) => database.collection(collection).find({ organizationId, ...filter }, { projection });
    const connections = await read('connections', {}, { name: 1, connectorId: 1, endUserId: 1, actionCredentials: 1, credentialIds: 1 })
      .sort({ createdAt: -1, _id: -1 })
      .limit(first)
      .toArray();
    const distinct = (ids) => ({ $in: [...new Set(ids)] });
    const ids = distinct(connections.flatMap(({ credentialIds }) => credentialIds));
    const [credentials, connectors, endUsers, users] = await Promise.all([
      read('credentials', { _id: ids }, { name: 1, kind: 1, settings: 1, secrets: 1 }).toArray(),
      read('connectors', { _id: distinct(connections.map(({ connectorId }) => connectorId)) }, { name: 1 }).toArray(),
      read('endUsers', { _id: distinct(connections.map(({ endUserId }) => endUserId)) }, { displayName: 1 }).toArray(),
      read('connections', { credentialIds: ids }, { name: 1, credentialIds: 1 }).toArray(),
    ]);
    const [credentialOf, connectorOf, endUserOf] = [credentials, connectors, endUsers].map(byId);
    const nodes = connections.map((each) => ({
      id: each._id,
      name: each.name,
      connector: { name: connectorOf.get(each.connectorId).name },
      endUser: { displayName: endUserOf.get(each.endUserId).displayName },
      actionCredentials: each.actionCredentials.map(({ credentialId }) => {
        const found = credentialOf.get(credentialId);
        const usages = users.filter(({ credentialIds }) => credentialIds.includes(credentialId)).slice(0, 5);
        const basic = found.kind === 'basicAuth' && { username: found.settings.username, password: { redacted: redacted(found) } };
        return {
          credential: {
            id: credentialId,
            name: found.name,
            kind: shownKind(found),
            usages: { nodes: usages.map((user) => ({ name: user.name })) },
            ...basic,
          },
        };
      }),
    }));
    return { data: { connections: { nodes } } };
  }

  return createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const organizationId = await organizationOf(request.headers.authorization);
    const answer =
      pathname === '/viewer' ? { data: { viewer: { kind: 'TOKEN' } } } : await page(organizationId, Number(searchParams.get('first')));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
});
