import { finished, Readable } from 'node:stream';
import { UnavailableError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from './request.ts';

/** When a client should try again that a stopping copy refuses, in seconds. */
const RETRY_SECONDS = 1;
/** How long ended requests have to release what they use, in milliseconds. */
const RELEASE_MS = 1_000;

/** Counts what runs, so that a stop can wait for it. */
export interface Draining {
  /** Answers a request. It runs until its answer has been read to the end. */
  serve(request: HttpRequest): Promise<HttpResponse>;
  /** Runs an operation without HTTP. It is given the refusal if this copy is stopping, and once more when it is ended. */
  run<T>(work: (refusal?: UnavailableError) => Promise<T>): Promise<T>;
  /** Refuses what comes from now on, waits for what runs, and ends what still runs after this time, in milliseconds. */
  end(milliseconds: number): Promise<void>;
}

/** Creates the count of what runs. `handle` answers requests; with a refusal, those that are not carried out, or not to their end. */
export function createDraining(handle: (request: HttpRequest, refusal?: UnavailableError) => Promise<HttpResponse>): Draining {
  /** What ends each of those that run. */
  const running = new Set<() => void>();
  let isStopping = false;
  let onIdle = () => {};

  const stopping = () => new UnavailableError('This copy of the gateway is stopping.', RETRY_SECONDS);
  const ended = () => new UnavailableError('This copy of the gateway has stopped.', RETRY_SECONDS, 'UNKNOWN');
  const leave = (end: () => void) => {
    if (running.delete(end) && running.size === 0) onIdle();
  };

  async function untilIdle(milliseconds: number): Promise<void> {
    if (running.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      onIdle = resolve;
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
  }

  return {
    async serve(request) {
      if (isStopping) return handle(request, stopping());
      const gone = new AbortController();
      let body: Readable | undefined;
      let onEnd = () => {};
      const end = () => {
        gone.abort();
        body?.destroy();
        onEnd();
      };
      running.add(end);
      try {
        const untilEnded = new Promise<undefined>((resolve) => {
          onEnd = () => resolve(undefined);
        });
        const answer = await Promise.race([handle({ ...request, signal: () => either(request.signal(), gone) }), untilEnded]);
        if (!answer) return await handle(request, ended());
        if (answer.body instanceof Readable) {
          body = answer.body;
          finished(body, () => leave(end));
        }
        return answer;
      } finally {
        if (!body) leave(end);
      }
    },
    async run(work) {
      if (isStopping) return work(stopping());
      let onEnd = () => {};
      const untilEnded = new Promise<void>((resolve) => {
        onEnd = resolve;
      });
      const end = () => onEnd();
      running.add(end);
      try {
        return await Promise.race([work(), untilEnded.then(() => work(ended()))]);
      } finally {
        leave(end);
      }
    },
    async end(milliseconds) {
      isStopping = true;
      await untilIdle(milliseconds);
      if (running.size === 0) return;
      for (const end of [...running]) end();
      await untilIdle(RELEASE_MS);
    },
  };
}

/** Returns the signal of the controller, which is then aborted with the other one, too. */
function either(signal: AbortSignal, controller: AbortController): AbortSignal {
  if (signal.aborted) controller.abort(signal.reason);
  else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  return controller.signal;
}
