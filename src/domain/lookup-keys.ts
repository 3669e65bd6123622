import type { GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';

/** The nouns whose records are found by keys, by the names of their stores. */
const members = ['integrations', 'connectors', 'endUsers', 'connections', 'credentials'] as const;
/** The number of records of one noun that get keys in one run, so that one organization does not delay the others for long. */
const RECORDS_MAX = 5_000;

/**
 * Returns a job that gives records of earlier versions the keys by which filters find them, see `store/lookup.ts`. Once an organization is complete,
 * this process does not look at it again: whatever writes a record now writes its keys. It does not matter whether several copies run it at once.
 */
export function createLookupKeysJob({ stores }: GatewayContext): () => Promise<void> {
  const complete = new Set<string>();
  return async () => {
    const organizations = (await stores.liveOrganizations()).filter((id) => !complete.has(id));
    await inTurn(organizations, async (organizationId) => {
      const store = stores.of(organizationId);
      for (const member of members) if (!(await store[member].completeKeys(RECORDS_MAX))) return;
      complete.add(organizationId);
    });
  };
}
