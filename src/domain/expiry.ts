import { forgetCredential } from './binding.ts';
import type { GatewayContext } from './context.ts';
import { removeCredentials } from './credential.ts';
import { inTurn } from './in-turn.ts';
import { type MutationContext, recordDone } from './mutate.ts';
import { asItself } from './organization.ts';

const BATCH = 100;
/** The rest is left to the next run, so that one organization does not keep the others waiting for long. */
const BATCHES_MAX = 10;

/**
 * Deletes the credentials whose `expiresAt` is past, out of the connections that use them too. No read has found them since then, so it does
 * not matter when this runs, nor that several copies of the gateway run it at once. A TTL index would leave the bindings behind.
 *
 * Answers how many it deleted.
 *
 * @throws AggregateError of what failed, when everything else is done
 */
export async function sweepExpired(gateway: GatewayContext): Promise<number> {
  const action = { name: 'expireCredential', noun: 'credential', address: null, requestId: null } as const;
  let swept = 0;
  await inTurn(await gateway.stores.liveOrganizations(), async (organizationId) => {
    const context = { ...asItself(gateway, organizationId), action };
    const { store } = context;
    // Zendesk refuses what is older anyway; these records only say that there was a link.
    await store.ssoLinks.removeExpired();
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const ids = await store.credentials.expired(BATCH);
      await inTurn(ids, async (id) => {
        if (await sweepCredential(context, id)) swept++;
      });
      if (ids.length < BATCH) return;
    }
  });
  return swept;
}

/** False: it is gone, or not to be swept any more. */
async function sweepCredential(context: MutationContext, id: string): Promise<boolean> {
  const { store } = context;
  return store.transaction(async () => {
    if (!(await store.credentials.touch(id))) return false;
    // Its time was put off after it was listed, by a transaction that had read it before.
    if (await store.credentials.one({ id })) return false;
    await forgetCredential(context, id);
    await removeCredentials(context, { id });
    await recordDone(context, id);
    return true;
  });
}
