import { GatewayError, UnavailableError } from '../errors.ts';
import type { GatewayContext } from './context.ts';
import { NEVER } from './health.ts';
import { severalAtOnce } from './in-turn.ts';
import { asItself } from './organization.ts';
import { refreshDue } from './token-facts.ts';

/** How many credentials of an organization are refreshed in one run. The next run refreshes the rest. */
const BATCH = 100;
/** How many are refreshed at once, so that a service that does not answer delays few others. */
const AT_ONCE = 8;
/** For how many organizations at once, and how long for each of them, in milliseconds: services that do not answer delay no other organization. */
const ORGANIZATIONS_AT_ONCE = 8;
const ORGANIZATION_MS = 50_000;
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
  await severalAtOnce(await stores.liveOrganizations(), ORGANIZATIONS_AT_ONCE, async (organizationId) => {
    const begin = performance.now();
    const { store } = asItself(gateway, organizationId);
    await store.leases.removeEnded(new Date(now().getTime() - LEASES_KEPT_MS));
    const { intact, altered } = await store.credentials.refreshable(BATCH);
    // An earlier version wrote them, or the settings have changed since: they must not be in the way of others.
    const other = intact.filter((record) => record.refreshAt?.getTime() !== refreshDue(record, policy).getTime());
    await store.credentials.annotateAll([
      ...other.map((record) => ({ id: record.id, before: null, fields: { refreshAt: refreshDue(record, policy) } })),
      // Nothing is done with what somebody else has written.
      ...altered.map((id) => ({ id, before: null, fields: { refreshAt: NEVER } })),
    ]);
    const due = intact.filter((record) => refreshDue(record, policy) <= now());
    const failures: unknown[] = [];
    const work = async () => {
      for (let record = due.shift(); record; record = due.shift()) {
        // The next run does the rest.
        if (performance.now() - begin > ORGANIZATION_MS) return;
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
