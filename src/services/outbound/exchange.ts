import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { OutboundError, type OutboundFailure } from './error.ts';
import type { OutboundLimits, OutboundRequest, OutboundResponse } from './index.ts';

/** More headers than any service sends. The limit of their size does not limit the work that their number makes. */
const HEADERS_MAX = 200;
/** How much of an answer is kept for a reader that is slower than the service. */
const READ_AHEAD_BYTES = 64 * 1024;

/** What the errors of undici mean, by their codes. */
const failures: Readonly<Record<string, OutboundFailure>> = {
  UND_ERR_HEADERS_OVERFLOW: 'TOO_LARGE',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'INVALID_ANSWER',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'ABORTED',
  UND_ERR_ABORTED: 'ABORTED',
  UND_ERR_DESTROYED: 'ABORTED',
  UND_ERR_CLOSED: 'ABORTED',
  UND_ERR_INVALID_ARG: 'INVALID_REQUEST',
};

/**
 * Sends a request over connections that are checked when they are opened, and returns the answer. It ends when the answer has arrived, or at a limit,
 * also if nobody reads the answer. `onEnd` is called then, once.
 *
 * @throws OutboundError
 */
export function exchange(
  dispatcher: Dispatcher,
  { method, url, headers, body, signal }: OutboundRequest,
  limits: OutboundLimits,
  onEnd: (result: { readonly status?: number; readonly failure?: OutboundFailure }) => void,
): Promise<OutboundResponse> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let answer: Readable | undefined;
    let status: number | undefined;
    let size = 0;
    let hasEnded = false;
    const total = setTimeout(() => fail('TIMEOUT'), limits.totalMs);
    /** Runs while something is expected of the service or of the reader. Connecting has a limit of its own. */
    let pause: NodeJS.Timeout | undefined;
    const expectWithin = (milliseconds: number) => {
      clearTimeout(pause);
      pause = hasEnded ? undefined : setTimeout(() => fail('TIMEOUT'), milliseconds);
    };
    const abort = () => fail('ABORTED');

    function end(failure?: OutboundFailure): void {
      hasEnded = true;
      clearTimeout(total);
      clearTimeout(pause);
      signal?.removeEventListener('abort', abort);
      onEnd({ ...(status !== undefined && { status }), ...(failure && { failure }) });
    }

    function fail(failure: OutboundFailure): void {
      if (hasEnded) return;
      // Before the start, the request has no connection.
      const error = new OutboundError(failure, controller === undefined);
      end(failure);
      controller?.abort(error);
      if (answer) answer.destroy(error);
      else reject(error);
    }

    async function* watched(chunks: AsyncIterable<Uint8Array>) {
      try {
        for await (const chunk of chunks) {
          pause?.refresh();
          yield chunk;
        }
      } catch {
        fail('ABORTED');
        throw new OutboundError('ABORTED', false);
      }
      if (!answer) expectWithin(limits.headersMs);
    }

    if (signal?.aborted) return fail('ABORTED');
    signal?.addEventListener('abort', abort, { once: true });
    const isStream = body !== undefined && !(body instanceof Uint8Array);
    const options = {
      origin: url.origin,
      path: url.pathname + url.search,
      method: method as Dispatcher.HttpMethod,
      headers: headers.flat(),
      body: (isStream ? watched(body) : body) as Dispatcher.DispatchOptions['body'] & {},
      // Its own timers stop while nobody reads.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
    dispatcher.dispatch(options, {
      onRequestStart(started) {
        controller = started;
        if (hasEnded) started.abort(new OutboundError('ABORTED', true));
        else expectWithin(isStream ? limits.idleMs : limits.headersMs);
      },
      onResponseStart(_controller, statusCode) {
        // An interim answer, such as 103, is none. Any number of them must come in the time for the real one.
        if (hasEnded || statusCode < 200) return;
        const raw = rawHeaders(controller?.rawHeaders);
        if (raw.length > HEADERS_MAX) return fail('TOO_LARGE');
        if (!hasOneLength(raw)) return fail('INVALID_ANSWER');
        status = statusCode;
        answer = new Readable({
          highWaterMark: READ_AHEAD_BYTES,
          read() {
            pause?.refresh();
            controller?.resume();
          },
          destroy(error, done) {
            if (!hasEnded) {
              end('ABORTED');
              controller?.abort(error ?? new OutboundError('ABORTED', false));
            }
            done(error);
          },
        });
        // Without a listener, an answer that nobody reads would end the process.
        answer.on('error', () => {});
        expectWithin(limits.idleMs);
        resolve({ status, headers: raw, body: answer });
      },
      onResponseData(_controller, chunk) {
        if (hasEnded || !answer) return;
        size += chunk.length;
        if (size > limits.maxBodyBytes) return fail('TOO_LARGE');
        pause?.refresh();
        if (!answer.push(chunk)) controller?.pause();
      },
      onResponseEnd() {
        if (hasEnded) return;
        end();
        answer?.push(null);
      },
      onResponseError(_controller, error: Error & { readonly code?: string }) {
        fail(failureOf(error));
      },
    });
  });
}

function failureOf(error: Error & { readonly code?: string }): OutboundFailure {
  if (error instanceof OutboundError) return error.failure;
  if (error.name === 'HTTPParserError' || error.message === 'bad upgrade' || error.message === 'bad response') return 'INVALID_ANSWER';
  return failures[error.code ?? ''] ?? 'CONNECTION_FAILED';
}

/** Returns whether the end of an answer can be understood in one way only (RFC 9112, section 6.3). */
function hasOneLength(headers: OutboundResponse['headers']): boolean {
  return headers.filter(([name]) => ['content-length', 'transfer-encoding'].includes(name.toLowerCase())).length <= 1;
}

function rawHeaders(raw: Dispatcher.DispatchController['rawHeaders']): (readonly [name: string, value: string])[] {
  // HTTP has no encoding of headers but bytes.
  const texts = Array.isArray(raw) ? raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1'))) : [];
  return texts.flatMap((name, index) => (index % 2 === 0 ? [[name, texts[index + 1] ?? ''] as const] : []));
}
