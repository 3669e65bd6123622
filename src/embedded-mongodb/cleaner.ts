import { type ScrubOptions, scrub, scrubNow } from './scrub.ts';

/** After data has been deleted, a pass begins when nothing more was deleted for this long, */
const idleMilliseconds = 1_000;
/** but at the latest after this time. */
const longestMilliseconds = 30_000;
/** How long the server works on a pass before others get their turn. */
const turnMilliseconds = 10;
/** When a snapshot that somebody reads has prevented a part of a pass. */
const retryMilliseconds = 2_000;

/** Overwrites deleted data, soon after it was deleted, and before the server stops. */
export class Cleaner {
  private readonly options: ScrubOptions;
  private timer: NodeJS.Timeout | undefined;
  private deletedSince: number | undefined;
  private running: Promise<void> | undefined;
  private isStopped = false;

  constructor(options: ScrubOptions) {
    this.options = options;
  }

  /** Called after data was deleted. */
  deleted(): void {
    this.deletedSince ??= Date.now();
    const latest = this.deletedSince + longestMilliseconds;
    this.schedule(Math.max(0, Math.min(idleMilliseconds, latest - Date.now())));
  }

  private schedule(milliseconds: number): void {
    clearTimeout(this.timer);
    if (this.isStopped || this.running) return;
    this.timer = setTimeout(() => {
      this.running = this.pass().finally(() => {
        this.running = undefined;
        // Data was deleted during the pass, or a part was in use.
        if (this.deletedSince !== undefined) this.schedule(retryMilliseconds);
      });
    }, milliseconds).unref();
  }

  private async pass(): Promise<void> {
    const since = this.deletedSince;
    this.deletedSince = undefined;
    try {
      const pass = scrub(this.options);
      let turn = performance.now();
      for (let step = pass.next(); ; step = pass.next()) {
        if (step.done) {
          if (!step.value) this.deletedSince ??= since ?? Date.now();
          return;
        }
        if (this.isStopped) {
          pass.return(false);
          this.deletedSince ??= since ?? Date.now();
          return;
        }
        if (performance.now() - turn < turnMilliseconds) continue;
        await new Promise(setImmediate);
        turn = performance.now();
      }
    } catch (error) {
      warn(error);
    }
  }

  /** Overwrites what is left. Nobody may read or write the file meanwhile. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running;
    if (this.deletedSince === undefined) return;
    try {
      scrubNow(this.options);
    } catch (error) {
      warn(error);
    }
  }
}

/** The database works without it, but who runs it must know. The message contains no data. */
function warn(error: unknown): void {
  process.emitWarning(`The embedded database could not overwrite deleted data: ${(error as Error).message}`);
}
