import { forgetCredential } from './binding.ts';
import { type DomainContext, recordDone } from './context.ts';
import { removeCredentials } from './credential.ts';
import { asItself } from './organization.ts';

const BATCH = 100;

/**
 * Deletes the credentials whose `expiresAt` is past, out of the connections that use them too. No read has found them since then, so it does
 * not matter when this runs, nor that several copies of the gateway run it at once. A TTL index would leave the bindings behind.
 *
 * Answers how many it deleted.
 */
export async function sweepExpired(outer: Omit<DomainContext, 'viewer'>): Promise<number> {
  let swept = 0;
  for (const organizationId of await outer.store.organizations.live()) {
    const action = { name: 'expireCredential', noun: 'credential', address: null, requestId: null } as const;
    const context = { ...asItself(outer, organizationId), action };
    // Zendesk refuses what is older anyway; these records only say that there was a link.
    await outer.store.ssoLinks.removeExpired(organizationId);
    for (const id of await outer.store.credentials.expired(organizationId, BATCH)) {
      swept += await outer.store.transaction(async () => {
        if (!(await outer.store.credentials.touch(organizationId, id))) return 0;
        // Its time was put off after it was listed, by a transaction that had read it before.
        if (await outer.store.credentials.one(organizationId, { id })) return 0;
        await forgetCredential(context, id);
        await removeCredentials(context, { id });
        await recordDone(context, id);
        return 1;
      });
    }
  }
  return swept;
}
