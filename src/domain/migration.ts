import { nouns, nounTable } from '../access/nouns.ts';
import type { UnreadableSecret } from '../store/secret.ts';
import { type AuditMigrationReport, migrateAuditLog } from './audit.ts';
import type { GatewayContext } from './context.ts';
import type { KeyRunOptions } from './keys.ts';
import { recordDone } from './mutate.ts';
import { asItself } from './organization.ts';

const RECORDS_PER_BATCH = 100;
/** The number of unreadable secrets that are listed. Others are only counted. */
const NAMED_MAX = 100;

export interface MigrationReport {
  /** The number of organizations that were migrated. */
  readonly organizations: number;
  /** The number of records that got a MAC in this run. */
  readonly records: number;
  /** The organizations that were not migrated: no available master key opens one of their current keys, a key is missing, or they have keys of both formats. */
  readonly failed: readonly string[];
  readonly unreadableCount: number;
  /** The first secrets that could not be opened. They stay unreadable. */
  readonly unreadable: readonly UnreadableSecret[];
  /** The migration of the audit logs. Null if it did not begin, because something else has to be migrated first. */
  readonly auditLogs: AuditMigrationReport | null;
  /** Whether the signal stopped the run. */
  readonly stopped: boolean;
}

/**
 * Migrates a database that an earlier version wrote: gives each record a MAC, binds each sealed secret to its owner and to a generation, and
 * binds each data key to its purpose. It accepts the database as it is, so an operator decides when to run it. No copy of the gateway may run
 * at the same time.
 *
 * It can be stopped at any time and run again: records are migrated in transactions of one batch, and the keys of an organization in one
 * transaction at its end. After that the organization is never migrated again, because its keys prove in which format it is. So nobody who
 * writes to the database can have forged records accepted by a later run, unless old keys are put back as well.
 */
export async function migrateDatabase(gateway: GatewayContext, { signal, onProgress }: KeyRunOptions = {}): Promise<MigrationReport> {
  const { stores, now } = gateway;
  const report = { organizations: 0, records: 0, failed: [] as string[], unreadableCount: 0, unreadable: [] as UnreadableSecret[] };
  const organizations = await stores.keyring.unboundOrganizations();

  /** Returns false if the organization cannot be migrated, or the signal stopped the run. */
  async function migrate(organizationId: string): Promise<boolean> {
    const action = { name: 'migrate', noun: null, address: null, requestId: null };
    const context = { ...asItself(gateway, organizationId), action };
    const { store } = context;
    const unbound = await store.keys.unbound();
    if (!unbound || unbound.some(({ isCurrent, bytes }) => isCurrent && !bytes)) {
      report.failed.push(organizationId);
      return false;
    }
    const sealKeys = new Map(
      unbound.flatMap(({ keyId, purpose, bytes }) => (purpose === 'seal' && bytes ? [[keyId, { keyId, bytes }]] : [])),
    );
    const current = sealKeys.get(unbound.find(({ purpose, isCurrent }) => purpose === 'seal' && isCurrent)?.keyId ?? '');
    if (!current) {
      report.failed.push(organizationId);
      return false;
    }
    await store.keys.createRecordsKey(now());

    for (const noun of nouns) {
      if (noun === 'auditEntry') continue;
      for (let after: string | null = ''; after !== null; ) {
        if (signal?.aborted) return false;
        // A transaction can run several times.
        let unreadable: UnreadableSecret[] = [];
        const batch: { readonly adopted: number; readonly last: string | null } =
          noun === 'credential'
            ? await store.credentials.adopt(after, RECORDS_PER_BATCH, async (record) => {
                const adopted = await store.secrets.adopt(record, sealKeys, current);
                await store.keys.countSeals(current.keyId, Object.keys(adopted.facts).length);
                unreadable = [...unreadable, ...adopted.unreadable];
                return { secrets: adopted.facts };
              })
            : await store[nounTable[noun].plural].adopt(after, RECORDS_PER_BATCH);
        after = batch.last;
        report.records += batch.adopted;
        report.unreadableCount += unreadable.length;
        report.unreadable.push(...unreadable.slice(0, NAMED_MAX - report.unreadable.length));
      }
    }
    await store.transaction(async () => {
      await store.keys.bind(unbound);
      await recordDone(context, null);
    });
    return true;
  }

  for (const organizationId of organizations) {
    if (signal?.aborted) break;
    if (await migrate(organizationId)) report.organizations++;
    onProgress?.({ done: report.organizations + report.failed.length, total: organizations.length });
  }
  const stopped = signal?.aborted ?? false;
  // The log of the platform, which this begins, says that the database was migrated. So it is the last step.
  const auditLogs = stopped || report.failed.length > 0 ? null : await migrateAuditLog(gateway);
  return { ...report, auditLogs, stopped };
}
