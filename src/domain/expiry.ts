import { forgetCredential } from './binding.ts';
import type { GatewayContext } from './context.ts';
import { removeCredentials } from './credential.ts';
import { inTurn } from './in-turn.ts';
import { type MutationContext, recordAlso, recordDone } from './mutate.ts';
import { asItself } from './organization.ts';

/** Copies of the gateway read the notices of the last minutes. */
const NOTICES_KEPT_MS = 60 * 60_000;
const BATCH = 100;
/** The next run handles the rest, so that one organization does not delay the others for long. */
const BATCHES_MAX = 10;

/**
 * Deletes expired credentials and removes them from the connections that use them. Reads ignore expired credentials, so it does not matter
 * when this runs, or whether several copies of the gateway run it at once. A TTL index would not remove the bindings.
 *
 * Returns the number of deleted credentials.
 *
 * @throws AggregateError of all failures, after everything else is done
 */
export async function sweepExpired(gateway: GatewayContext): Promise<number> {
  const action = { name: 'expireCredential', noun: 'credential', address: null, requestId: null } as const;
  let swept = 0;
  await gateway.stores.revocations.removeNotices(new Date(gateway.now().getTime() - NOTICES_KEPT_MS));
  await inTurn(await gateway.stores.liveOrganizations(), async (organizationId) => {
    const context = { ...asItself(gateway, organizationId), action };
    const { store } = context;
    // Zendesk refuses older tokens anyway. The records only document that a link existed.
    await store.ssoLinks.removeExpired();
    await store.authorizations.removeExpired();
    await store.revocations.removeExpired(gateway.now());
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      if ((await store.idempotency.removeExpired(gateway.now())) === 0) break;
    }
    const kept: string[] = [];
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const { ids, altered } = await store.credentials.expired(BATCH, kept);
      // Whoever wrote their `expiresAt` must not make the gateway destroy secrets: with the old record put back, they can be used again.
      kept.push(...altered);
      await inTurn(ids, async (id) => {
        if (await sweepCredential(context, id)) swept++;
      });
      if (ids.length + altered.length < BATCH) return;
    }
  });
  return swept;
}

/** Returns false if the credential is already deleted, or is not expired any more. */
async function sweepCredential(context: MutationContext, id: string): Promise<boolean> {
  const { store } = context;
  return store.transaction(async () => {
    if (!(await store.credentials.touch(id))) return false;
    // After it was listed, a transaction that had read it earlier set a later `expiresAt`.
    if (await store.credentials.one({ id })) return false;
    const cause = { noun: 'credential', id } as const;
    await forgetCredential(context, id, async ({ connections, connectors }) => {
      await recordAlso(context, { action: 'updateConnection', noun: 'connection', ids: connections }, cause);
      await recordAlso(context, { action: 'updateConnector', noun: 'connector', ids: connectors }, cause);
    });
    await removeCredentials(context, { id });
    await recordDone(context, id);
    return true;
  });
}
