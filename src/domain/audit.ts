import type { AuditHead, AuditVerification } from '../store/audit.ts';
import type { GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';

export type { AuditHead, AuditVerification };

/**
 * Seals what the organizations' audit logs hold and is not sealed yet. Copies of the gateway may do so at once: the number of a batch is
 * unique, so one of them does it and the other stops.
 *
 * @throws AggregateError of what failed, when everything else is done
 */
export async function sealAuditLogs({ stores, now }: GatewayContext): Promise<void> {
  await inTurn(await stores.liveOrganizations(), async (organizationId) => {
    await stores.of(organizationId).audit.seal(now());
  });
}

/** Checks an organization's audit log. Undefined: there is no such organization. */
export async function verifyAuditLog(
  { stores }: GatewayContext,
  organizationId: string,
  knownHead?: AuditHead,
): Promise<AuditVerification | undefined> {
  const store = stores.of(organizationId);
  return (await store.organization.state()) === 'live' ? store.audit.verify(knownHead) : undefined;
}
