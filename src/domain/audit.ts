import type { AuditHead, AuditVerification } from '../store/audit.ts';
import type { GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';

export type { AuditHead, AuditVerification };

/**
 * Seals the unsealed entries in the audit logs of all organizations. Several copies of the gateway can do so at once: the number of a batch
 * is unique, so one of them succeeds and the others stop.
 *
 * @throws AggregateError of all failures, after everything else is done
 */
export async function sealAuditLogs({ stores, now }: GatewayContext): Promise<void> {
  await inTurn(await stores.liveOrganizations(), async (organizationId) => {
    await stores.of(organizationId).audit.seal(now());
  });
}

/** Verifies an organization's audit log. Returns undefined if there is no such organization. */
export async function verifyAuditLog(
  { stores }: GatewayContext,
  organizationId: string,
  knownHead?: AuditHead,
): Promise<AuditVerification | undefined> {
  const store = stores.of(organizationId);
  return (await store.organization.state()) === 'live' ? store.audit.verify(knownHead) : undefined;
}
