import type { Json, TestGateway } from './harness.ts';

/** What is written of requests that are refused, too. */
const kept = /^(audit|rateLimit)/;

/** Which collection a document was read from, while all are read in one command. */
const origin = '_collection';

/**
 * Everything that the database holds, by collection: of one organization, or of all. Two of these equal each other if nothing was written
 * between. Of the 64 slots of a parent, which are nine tenths of all documents, the database tells how many there are and how often they
 * were touched: each touch is another random number, so whatever is done to a slot changes one of the two.
 */
export async function contents(test: TestGateway, organization?: string): Promise<Record<string, Json[]>> {
  const names = await collections(test);
  const found: Record<string, Json[]> = Object.fromEntries(names.map((name) => [name, []]));
  const [first, ...others] = names;
  if (!first) return found;
  const pipelineOf = (name: string) => [
    ...(organization === undefined ? [] : [{ $match: { organizationId: organization } }]),
    ...(name === 'slots' ? [countingSlots] : []),
    { $addFields: { [origin]: name } },
  ];
  const rest = others.map((coll) => ({ $unionWith: { coll, pipeline: pipelineOf(coll) } }));
  // How many seals a key may still make is reserved ahead, whatever becomes of them.
  for await (const { [origin]: name, reservedSeals: _, ...document } of test.database
    .collection(first)
    .aggregate([...pipelineOf(first), ...rest], { batchSize: 10_000 }))
    found[name]!.push(
      name === 'slots' ? { parentId: document._id.parentId, organizationId: document._id.organizationId, ...document } : document,
    );
  const byId = (one: Json, other: Json) => (sortKey(one) < sortKey(other) ? -1 : 1);
  for (const documents of Object.values(found)) documents.sort(byId);
  return found;
}

const countingSlots = {
  $group: {
    _id: { organizationId: '$organizationId', parentId: '$parentId' },
    slots: { $sum: 1 },
    touches: { $sum: '$touches' },
  },
};
const sortKey = ({ _id }: Json) => String(_id.parentId ?? _id);

async function collections(test: TestGateway): Promise<string[]> {
  const names = (await test.database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  return names.filter((name) => !kept.test(name)).sort();
}

/**
 * Reads the contents, anew only if the gateway has sent the database something since the last time: after one request and before the next,
 * that is once. For files in which nobody but the gateway writes.
 */
export function rememberingContents(test: TestGateway) {
  const remembered = new Map<string | undefined, { readonly commands: number; readonly contents: ReturnType<typeof contents> }>();
  return (organization?: string): ReturnType<typeof contents> => {
    const last = remembered.get(organization);
    if (last?.commands === test.commands.length) return last.contents;
    const read = { commands: test.commands.length, contents: contents(test, organization) };
    remembered.set(organization, read);
    return read.contents;
  };
}

/** How many documents each collection holds. */
export async function counts(test: TestGateway): Promise<Record<string, number>> {
  const count = async (name: string) => [name, await test.database.collection(name).countDocuments()] as const;
  return Object.fromEntries(await Promise.all((await collections(test)).map(count)));
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
  see('endUsers', endUsers, 'primaryConnectionId', ids(connections));
  see('secrets', secrets, 'credentialId', credential);
  see('slots', slots, 'parentId', new Set([...integration!, ...connector!]));
  for (const { _id, actionCredentials, triggerCredentials, credentialIds } of connections ?? []) {
    for (const { credentialId } of [...actionCredentials, ...triggerCredentials]) {
      if (!credentialIds.includes(credentialId)) found.push(`connections ${_id}: binds ${credentialId} and does not say so`);
    }
  }
  return found;
}
