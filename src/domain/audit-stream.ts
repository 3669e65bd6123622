import { UnavailableError } from '../errors.ts';
import { AuditChainError, type AuditRecord, type SealedBatch } from '../store/audit.ts';
import { type SealProblem, sealLog } from './audit.ts';
import type { GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';

/** The time between two runs of the stream, in milliseconds. */
export const STREAM_MS = 5_000;
/** A sink that got nothing for so long, though there was something, counts as failing. In milliseconds. */
const BACKLOG_MS = 60_000;
/** How often the logs of all organizations are looked at, and not only those that this process has written to. */
const ALL_LOGS_MS = 60_000;
const BATCHES_PER_REQUEST = 10;
/** When a caller should try again, in seconds. */
const RETRY_SECONDS = 10;

interface StreamSettings {
  readonly sink: { readonly id: string; readonly send: (lines: string) => Promise<void> };
  /** Whether mutations are refused while the sink fails. */
  readonly isRequired: boolean;
  /** Returns an entry as callers see it, in the form of the query `auditLog`. */
  readonly shown: (entry: AuditRecord) => object;
  readonly onProblem: (problem: SealProblem) => void;
  /** A log cannot be streamed, because a batch is not as it was sealed, or not the one that the sink has got. */
  readonly onBroken: (organizationId: string) => void;
}

/** The sink did not take what was sent. It has the name of its cause. */
class SinkError extends Error {
  constructor(cause: unknown) {
    super('The sink did not take what was sent.', { cause });
    if (cause instanceof Error) this.name = cause.name;
  }
}

export type AuditStream = ReturnType<typeof createAuditStream>;

/**
 * Streams sealed batches to a sink: the entries of a batch, and then its head. Each log has a cursor in the database, which is moved after the
 * sink has taken a batch. So each batch is sent at least once, in the order of its log, also after a restart; several copies can send it twice.
 */
export function createAuditStream({ stores, now }: Pick<GatewayContext, 'stores' | 'now'>, settings: StreamSettings) {
  const { sink, isRequired, shown, onProblem, onBroken } = settings;
  /** Logs that were written to, and not streamed since. */
  const behind = new Set<string>();
  /** Logs that cannot be streamed as they are stored. They are tried again in each run. */
  const broken = new Set<string>();
  /** Whether the sink did not take something in the last run, or in this one. */
  let isFailing = false;
  /** The same, of this run only. */
  let hasFailed = false;
  let lastComplete = Date.now();
  let lastAll = 0;
  let running: Promise<void> | undefined;

  async function runOnce(): Promise<void> {
    const isAll = Date.now() - lastAll >= ALL_LOGS_MS;
    for (const organizationId of stores.changedAuditLogs()) behind.add(organizationId);
    hasFailed = false;
    let isComplete = false;
    try {
      if (isAll) for (const organizationId of await allLogs()) behind.add(organizationId);
      await inTurn([...behind], async (organizationId) => {
        let isBroken = false;
        const onEach = (problem: SealProblem) => {
          // A log that is not sealed is not sent either.
          isBroken ||= problem.refusal !== null;
          onProblem(problem);
        };
        try {
          if (await sealLog({ stores, now }, organizationId, onEach)) await sendLog(organizationId);
        } catch (error) {
          // If the sink fails, the log is not to blame.
          isBroken = !(error instanceof SinkError);
          if (!(error instanceof AuditChainError)) throw error;
          onBroken(organizationId);
        } finally {
          if (isBroken) broken.add(organizationId);
          else broken.delete(organizationId);
        }
        if (!isBroken) behind.delete(organizationId);
      }).finally(() => {
        isComplete = !hasFailed;
      });
      if (isAll) lastAll = Date.now();
    } finally {
      isFailing = hasFailed;
      if (isComplete) lastComplete = Date.now();
    }
  }

  async function allLogs(): Promise<string[]> {
    const { platform } = stores;
    return [...((await platform.exists()) ? [platform.organizationId] : []), ...(await stores.liveOrganizations())];
  }

  async function sendLog(organizationId: string): Promise<void> {
    const { audit } = stores.of(organizationId);
    for (let sent = await audit.sentTo(sink.id); ; ) {
      const batches = await audit.batchesAfter(sent, BATCHES_PER_REQUEST);
      const last = batches.at(-1);
      if (!last) return;
      try {
        await sink.send(batches.map((batch) => linesOf(organizationId, batch)).join(''));
      } catch (error) {
        isFailing = true;
        hasFailed = true;
        throw new SinkError(error);
      }
      sent = last.seal.sequence;
      await audit.noteSent(sink.id, last.seal);
    }
  }

  function linesOf(organization: string, { seal, entries }: SealedBatch): string {
    const { sequence, headHash, sealedAt, entryCount } = seal;
    const lines = entries.map((entry) => ({ type: 'entry', organization, sequence, ...shown(entry) }));
    return [...lines, { type: 'head', organization, sequence, headHash, sealedAt, entryCount }]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join('');
  }

  return {
    /**
     * Seals, and sends what is sealed and was not sent. One run at a time.
     * @throws AggregateError of all failures, after everything else is done
     */
    run(): Promise<void> {
      running ??= runOnce().finally(() => {
        running = undefined;
      });
      return running;
    },
    /** @throws UnavailableError when the sink is required, and does not take what is sent, or the log of this organization cannot be sent */
    requireWorking(organizationId: string): void {
      if (isRequired && (isFailing || broken.has(organizationId) || Date.now() - lastComplete > BACKLOG_MS)) {
        throw new UnavailableError('The audit log cannot be written to its sink.', RETRY_SECONDS, 'NOT_EXECUTED');
      }
    },
  };
}
