import type { Json, TestGateway } from './harness.ts';

/** What is written of requests that are refused, too. */
const kept = /^(audit|rateLimit)/;

/**
 * Everything that the database holds, by collection: of one organization, or of all. Two of these equal each other if nothing was written
 * between. Of the 64 slots of a parent, which are nine tenths of all documents, the database tells how many there are and how often they
 * were touched: counts of touches only grow, so whatever is done to a slot changes one of the two.
 */
export async function contents(test: TestGateway, organization?: string): Promise<Record<string, Json[]>> {
  const filter = organization === undefined ? {} : { organizationId: organization };
  const names = (await test.database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  const collections = names.filter((name) => !kept.test(name)).sort();
  const read = async (name: string) => [name, name === 'slots' ? await slots(test, filter) : await documents(test, name, filter)] as const;
  return Object.fromEntries(await Promise.all(collections.map(read)));
}

async function documents(test: TestGateway, collection: string, filter: object): Promise<Json[]> {
  const found = await test.database.collection(collection).find(filter).sort({ _id: 1 }).toArray();
  // How many seals a key may still make is reserved ahead, whatever becomes of them.
  return found.map(({ reservedSeals: _, ...document }) => document);
}

async function slots(test: TestGateway, filter: object): Promise<Json[]> {
  const parent = { organizationId: '$organizationId', parentId: '$parentId' };
  const counted = await test.database
    .collection('slots')
    .aggregate([{ $match: filter }, { $group: { _id: parent, slots: { $sum: 1 }, touches: { $sum: '$touches' } } }, { $sort: { _id: 1 } }])
    .toArray();
  return counted.map(({ _id, ...counts }) => ({ _id: _id.parentId, ..._id, ...counts }));
}

/** How many documents each collection holds. */
export async function counts(test: TestGateway): Promise<Record<string, number>> {
  const names = (await test.database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  const count = async (name: string) => [name, await test.database.collection(name).countDocuments()] as const;
  return Object.fromEntries(await Promise.all(names.filter((name) => !kept.test(name)).map(count)));
}

/** What the database holds that names something which is not there, in words. */
export async function danglingReferences(test: TestGateway): Promise<string[]> {
  const { integrations, connectors, endUsers, connections, credentials, secrets, slots } = (await contents(test)) as Record<string, Json[]>;
  const ids = (documents: Json[] | undefined) => new Set((documents ?? []).map(({ _id }) => _id));
  const [integration, connector, endUser, credential] = [integrations, connectors, endUsers, credentials].map(ids);
  const found: string[] = [];
  const see = (noun: string, documents: Json[] | undefined, field: string, known: Set<string> | undefined) => {
    for (const document of documents ?? []) {
      for (const id of [document[field]].flat()) if (id != null && !known?.has(id)) found.push(`${noun} ${document._id}: ${field} ${id}`);
    }
  };
  for (const [noun, documents] of Object.entries({ connectors, endUsers, connections, credentials })) {
    see(noun, documents, 'integrationId', integration);
  }
  see('connections', connections, 'connectorId', connector);
  see('connections', connections, 'endUserId', endUser);
  see('connections', connections, 'credentialIds', credential);
  see('connectors', connectors, 'credentialIds', credential);
  see('credentials', credentials, 'endUserId', endUser);
  see('secrets', secrets, 'credentialId', credential);
  see('slots', slots, 'parentId', new Set([...integration!, ...connector!]));
  for (const { _id, actionCredentials, triggerCredentials, credentialIds } of connections ?? []) {
    for (const { credentialId } of [...actionCredentials, ...triggerCredentials]) {
      if (!credentialIds.includes(credentialId)) found.push(`connections ${_id}: binds ${credentialId} and does not say so`);
    }
  }
  return found;
}
