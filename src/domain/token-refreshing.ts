import { GatewayError, UnavailableError } from '../errors.ts';
import type { GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';
import { asItself } from './organization.ts';
import { refreshDue } from './token-facts.ts';

/** How many credentials of an organization are refreshed in one run. The next run refreshes the rest. */
const BATCH = 100;
/** How many are refreshed at once, so that a service that does not answer delays few others. */
const AT_ONCE = 8;
/** A lease that ended so long ago belongs to a credential that nobody uses, in milliseconds. */
const LEASES_KEPT_MS = 24 * 60 * 60_000;

/**
 * Refreshes the tokens whose access token ends soon, though nobody uses them: a refresh token that is not used for a long time dies. Copies of the gateway that
 * run it at once do not refresh anything twice.
 *
 * @throws AggregateError of all failures that are not those of services, after everything else is done
 */
export async function refreshDueTokens(gateway: GatewayContext): Promise<void> {
  const { policy, now, tokens, stores } = gateway;
  await inTurn(await stores.liveOrganizations(), async (organizationId) => {
    const { store } = asItself(gateway, organizationId);
    await store.leases.removeEnded(new Date(now().getTime() - LEASES_KEPT_MS));
    const { intact } = await store.credentials.refreshable(BATCH);
    // An earlier version wrote them, and nobody has written them since.
    const unknown = intact.filter(({ refreshAt }) => refreshAt === undefined);
    await store.credentials.annotateAll(unknown.map((record) => ({ id: record.id, fields: { refreshAt: refreshDue(record, policy) } })));
    const due = intact.filter((record) => refreshDue(record, policy) <= now());
    const failures: unknown[] = [];
    const work = async () => {
      for (let record = due.shift(); record; record = due.shift()) {
        try {
          await tokens.renewIfDue(organizationId, record);
        } catch (error) {
          // What a service did wrong is stored with the credential.
          if (!(error instanceof GatewayError) || error instanceof UnavailableError) failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} credentials could not be refreshed.`);
  });
}
