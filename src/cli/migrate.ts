import type { Gateway } from '../gateway/index.ts';
import { STOPPED, tellUnreadable, withBar } from './keys.ts';
import { count } from './messages.ts';
import { untilSignal } from './signals.ts';

/** Migrates a database of an earlier version. Returns the exit code: 1 if something could not be migrated. */
export async function migrate(gateway: Gateway, print: (line: string) => void): Promise<number> {
  const signal = untilSignal();
  const report = await withBar('organizations', (onProgress) => gateway.migrate({ signal, onProgress }));
  print(`Migrated organizations: ${report.organizations}. Authenticated records: ${report.records}.`);
  tellUnreadable(report, 'could not be opened and stay unreadable', print);
  if (report.stopped) {
    print('Stopped. Run the command again to continue.');
    return STOPPED;
  }
  if (report.failed.length > 0) {
    print(
      `${count(report.failed.length, 'organization')} cannot be migrated: no configured master key opens its data keys, or the data keys are incomplete or of two formats. Add the missing master keys, or restore the data keys from a backup, and run the command again:`,
    );
    for (const organization of report.failed) print(`  ${organization}`);
  }
  const refused = report.auditLogs?.refused ?? [];
  if (report.auditLogs) print(`Migrated audit logs: ${report.auditLogs.migrated.length}.`);
  for (const { organizationId, reason } of refused) print(`The audit log of ${organizationId} was not migrated: ${reason}`);
  if (report.auditLogs) await gateway.platform.record('migrate', { details: `${report.organizations} organizations` });
  return report.failed.length > 0 || refused.length > 0 || report.unreadableCount > 0 ? 1 : 0;
}
