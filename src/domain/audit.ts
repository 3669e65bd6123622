import type { AuditHead, AuditMigration, AuditVerification, SealReport } from '../store/audit.ts';
import { AuditMigrationError } from '../store/audit.ts';
import type { GatewayContext } from './context.ts';
import { inTurn, inTurnByOrganization } from './in-turn.ts';

export { type AuditHead, type AuditMigration, AuditMigrationError, type AuditVerification };

/** What sealing found in a log that is not as it should be. */
export interface SealProblem extends SealReport {
  readonly organizationId: string;
}

/**
 * Seals the unsealed entries in the audit logs of all organizations, and in the platform's. Several copies of the gateway can do so at once:
 * the number of a batch is unique, so one of them succeeds and the others stop. Calls `onProblem` for each log that is not as it should be.
 *
 * @throws AggregateError of an OrganizationError for each log that cannot be sealed, after everything else is done
 */
export async function sealAuditLogs({ stores, now }: GatewayContext, onProblem: (problem: SealProblem) => void): Promise<void> {
  const logs = (await logsOf(stores)).map((organizationId) => ({ organizationId }));
  await inTurnByOrganization(logs, async ({ organizationId }) => {
    await sealLog({ stores, now }, organizationId, onProblem);
  });
}

/**
 * Prepares the logs that this process has written to for the end of the process: seals their entries, and leaves no gap among their numbers.
 * Nothing may write at the same time.
 *
 * @throws AggregateError of all failures, after everything else is done
 */
export async function endAuditLogs({ stores, now }: GatewayContext, onProblem: (problem: SealProblem) => void): Promise<void> {
  await inTurn(stores.writtenAuditLogs(), async (organizationId) => {
    if (!(await hasLog(stores, organizationId))) return;
    await stores.of(organizationId).audit.fillGaps(now());
    await sealLog({ stores, now }, organizationId, onProblem);
  });
}

/** Whether there is such a log. That of a deleted organization is deleted as well. */
async function hasLog(stores: GatewayContext['stores'], organizationId: string): Promise<boolean> {
  return organizationId === stores.platform.organizationId || (await stores.of(organizationId).organization.state()) === 'live';
}

/** Seals one log. Calls `onProblem` if it is not as it should be. Returns whether there is such a log. */
export async function sealLog(
  { stores, now }: Pick<GatewayContext, 'stores' | 'now'>,
  organizationId: string,
  onProblem: (problem: SealProblem) => void,
): Promise<boolean> {
  if (!(await hasLog(stores, organizationId))) return false;
  const report = await stores.of(organizationId).audit.seal(now());
  if (report.refusal !== null || report.rejected > 0 || report.missing.length > 0) onProblem({ ...report, organizationId });
  return true;
}

async function logsOf(stores: GatewayContext['stores']): Promise<string[]> {
  return [...((await stores.platform.exists()) ? [stores.platform.organizationId] : []), ...(await stores.liveOrganizations())];
}

/** Verifies an organization's audit log. Returns undefined if there is no such organization. */
export async function verifyAuditLog(
  { stores }: GatewayContext,
  organizationId: string,
  knownHead?: AuditHead,
): Promise<AuditVerification | undefined> {
  return (await hasLog(stores, organizationId)) ? stores.of(organizationId).audit.verify(knownHead) : undefined;
}

/** What became of one log in a migration. */
export interface MigratedLog extends AuditMigration {
  readonly organizationId: string;
}

/** The result of `migrateAuditLog`. */
export interface AuditMigrationReport {
  /** The logs that were migrated. Those that already had the current format are not listed. */
  readonly migrated: readonly MigratedLog[];
  /** The logs that cannot be migrated, because somebody has changed them since they were migrated, with the reason. */
  readonly refused: readonly { readonly organizationId: string; readonly reason: string }[];
}

/**
 * Migrates the audit logs of a database that an older version has written, and begins the platform's log. All copies of the older version
 * must have been stopped. It can be run again after an interruption. Once there is a log of the platform, no log is migrated any more: the
 * database was migrated, or never needed it.
 *
 * Call it only when the operator asks for it. Nothing in a database of an older version proves that it was not migrated before and put back
 * since.
 *
 * @throws AggregateError of all failures, after everything else is done
 */
export async function migrateAuditLog({ stores, now }: GatewayContext): Promise<AuditMigrationReport> {
  const [migrated, refused]: [MigratedLog[], { organizationId: string; reason: string }[]] = [[], []];
  const isDone = await stores.platform.exists();
  await inTurn(await stores.liveOrganizations(), async (organizationId) => {
    const { audit } = stores.of(organizationId);
    try {
      if (isDone) {
        if (!(await audit.hasBegun())) throw new AuditMigrationError('The database was migrated before, or never needed it.');
        return;
      }
      const done = await audit.migrate(now());
      if (done) migrated.push({ organizationId, ...done });
    } catch (error) {
      if (!(error instanceof AuditMigrationError)) throw error;
      refused.push({ organizationId, reason: error.message });
    }
  });
  // Last, so that an interrupted migration is completed by the next one.
  await stores.platform.begin(now());
  return { migrated, refused };
}
