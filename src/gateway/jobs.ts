import { endAuditLogs, sealAuditLogs } from '../domain/audit.ts';
import { STREAM_MS } from '../domain/audit-stream.ts';
import { checkDueConnections } from '../domain/check.ts';
import { sweepExpired } from '../domain/expiry.ts';
import { noticeExpiries } from '../domain/expiry-notices.ts';
import { failuresOf, inTurn, OrganizationError } from '../domain/in-turn.ts';
import { replaceWornKeys } from '../domain/keys.ts';
import { createLookupKeysJob } from '../domain/lookup-keys.ts';
import { createRecount } from '../domain/organization.ts';
import { PlatformLogMissingError } from '../domain/platform.ts';
import { REVOCATION_POLL_MS } from '../domain/revocation-list.ts';
import { settleStates } from '../domain/states.ts';
import { refreshDueTokens } from '../domain/token-refreshing.ts';
import { WINDOW_MS } from '../http/limits/rate-limiter.ts';
import { every, everyMinute, type Job } from '../jobs.ts';
import type { Domain } from './domain.ts';
import type { Resolved } from './options.ts';

/** What the gateway does by itself, each minute or more often. */
export type Jobs = ReturnType<typeof createJobs>;

/** Creates the jobs. None runs before `begin`. */
export function createJobs(domain: Domain, { options, logger, now, runsJobs }: Resolved) {
  const { context, auditStream, webhooks, onSealProblem } = domain;
  const { stores, revocations, events, findings } = context;
  const flushCounts = () => writeCounts(domain, logger);

  /** Writes what was counted, and seals the logs. None of these steps depends on another, so each is done though another fails. */
  const sealAuditLog = async () => {
    try {
      await inTurn([flushCounts, () => sealAuditLogs(context, onSealProblem)], (step) => step());
    } catch (error) {
      for (const failure of failuresOf(error)) {
        if (!(failure instanceof OrganizationError)) continue;
        const { organizationId: organization, name } = failure;
        logger.error({ organization, error: name }, 'the audit log of an organization could not be written or sealed');
      }
      throw error;
    }
  };
  const sweep = () => sweepExpired(context);
  const refreshTokens = () => refreshDueTokens(context);
  const noticeAll = () => noticeExpiries(context);
  const checkDue = async () => options.checkConnectionsHours && checkDueConnections(context, options.checkConnectionsHours);
  const stream = async () => auditStream?.run();

  const ownJobs: readonly Job[] = [
    [() => replaceWornKeys(context), 'a worn data key could not be replaced'],
    [flushCounts, 'what was counted could not be written'],
  ];
  const jobs: readonly Job[] = [
    [() => replaceWornKeys(context), 'a worn data key could not be replaced'],
    // The windows of different spenders begin at different times, and the clock of another copy can be late.
    [() => stores.rateLimits.sweep(Math.floor(now().getTime() / WINDOW_MS) - 2), 'idle rate limits could not be deleted'],
    [createRecount(context), 'what an organization stores could not be counted'],
    [sealAuditLog, 'the audit log could not be sealed'],
    [sweep, 'expired credentials could not be deleted'],
    [noticeAll, 'events about credentials that are about to expire could not be written'],
    [events.run, 'events could not be numbered, or old ones not deleted'],
    [webhooks.trim, 'old deliveries of webhooks could not be deleted'],
    [refreshTokens, 'tokens could not be refreshed'],
    [() => settleStates(context), 'the states of credentials and connections could not be determined'],
    [checkDue, 'connections could not be checked'],
    [createLookupKeysJob(context), 'records of an earlier version could not be prepared for filters'],
  ];
  const streamJobs: readonly Job[] = auditStream ? [[stream, 'the audit log could not be sent to its sink']] : [];
  const poll: Job = [revocations.refresh, 'the revocations could not be read'];

  return {
    sealAuditLog,
    sweep,
    refreshTokens,
    noticeExpiries: noticeAll,
    stream,
    checkConnections: async () => void (await checkDue()),
    updateHealth: () => inTurn([() => findings.flush(stores), () => settleStates(context)], (step) => step()),
    /** Starts those that this process does. Returns what ends them, and waits for those that run, but not for long. */
    begin(): () => Promise<unknown> {
      const ends = [
        ...(runsJobs ? [everyMinute(options.sharesJobs ? ownJobs : jobs, logger), every(STREAM_MS, streamJobs, logger)] : []),
        ...(options.readsRevocations === false ? [] : [every(REVOCATION_POLL_MS, [poll], logger)]),
      ];
      return () => Promise.all(ends.map((end) => end()));
    },
    /** Writes what is still in memory, and ends the audit logs, at a stop. */
    async writeLast(): Promise<void> {
      const last = (work: () => Promise<unknown>, failure: string) => stores.serve(work).catch(() => logger.error({}, failure));
      await last(flushCounts, 'what was counted in the last minute could not be written');
      if (!runsJobs) return;
      await last(() => endAuditLogs(context, onSealProblem), 'the last entries of the audit log could not be sealed');
      await last(stream, 'the last entries of the audit log could not be sent to its sink');
    },
  };
}

/** Writes what was counted in memory. Each is written though another fails. */
function writeCounts({ context, alterations, refusals, failedLogins }: Domain, logger: Resolved['logger']): Promise<void> {
  const { stores, now, reads, findings, uses } = context;
  return inTurn(
    [
      () => refusals.flush(stores, now()),
      async () => {
        const altered = await alterations.flush(stores, now());
        if (altered > 0) logger.warn({ count: altered }, 'stored objects were changed, but not by the gateway; the audit log names them');
      },
      async () => reads?.flush(stores, now()),
      () => findings.flush(stores),
      () => uses.flush(stores, now()),
      async () => {
        try {
          const failed = await failedLogins.flush(context);
          if (failed > 0) logger.warn({ count: failed }, 'requests without a valid token were refused');
        } catch (error) {
          if (!(error instanceof PlatformLogMissingError)) throw error;
          logger.error({}, 'requests without a valid token could not be written down: there is no log of the platform');
        }
      },
    ],
    (step) => step(),
  );
}
