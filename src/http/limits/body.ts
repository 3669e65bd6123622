import { LimitExceededError } from '../../errors.ts';
import { limitedRequest, malformedRequest, notUtf8, tooLarge } from '../error-redaction.ts';
import type { HttpRequest } from '../request.ts';
import { createJsonScanner } from './json.ts';

/** Large bodies cost more to read and check: 1 for each this many bytes. */
const BYTES_FOR_ONE = 1_024;
/** A value costs more to parse than its bytes say: a short name takes about a thousand times as long as a byte of a long text. */
const VALUES_FOR_ONE = 100;
/** While a body arrives, it is paid for in steps of this cost. */
const STEP = 64;
/** The size of the first buffer for a body of several chunks. It grows with the body. */
const FIRST_BYTES = 16 * 1024;

/** Returns the cost of a body from its Content-Length, which must be valid. 0 if there is none: such a body is paid for while it is read. */
export function declaredCost({ method, headers }: HttpRequest): number {
  return method === 'POST' ? Math.floor(Number(headers['content-length'] ?? 0) / BYTES_FOR_ONE) : 0;
}

/**
 * Checks the Content-Length before anything is read, also by the database.
 * @throws GraphQLError when it is invalid or too large
 */
export function checkDeclaredLength({ headers }: HttpRequest, maxBytes: number): void {
  const length = headers['content-length'];
  if (length === undefined) return;
  if (!/^\d{1,15}$/.test(length)) throw malformedRequest();
  if (Number(length) > maxBytes) throw tooLarge();
}

/**
 * Reads a JSON body. It is scanned while it arrives: nothing is parsed that is nested too deeply or has too many values, and reading stops
 * at once. `charge` is called with the cost so far, whatever becomes of the body. It counts the bytes on the wire if the client sends
 * chunks, because a chunk of one byte takes six.
 *
 * @throws GraphQLError when the body exceeds a limit, or is not JSON in UTF-8
 * @throws RateLimitedError by `charge`
 */
export async function readJsonBody(request: HttpRequest, maxBytes: number, charge: (cost: number) => Promise<void>): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes, charge);
  const text = decoded(bytes);
  try {
    return JSON.parse(text);
  } catch {
    // The message of the library repeats the body.
    throw malformedRequest();
  }
}

/**
 * Decodes UTF-8. Bytes that are not UTF-8 are refused and never replaced. A byte order mark at the beginning is left out (RFC 8259, section 8.1):
 * some editors and shells write one.
 *
 * @throws GraphQLError
 */
function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw notUtf8();
  }
}

async function readBytes(
  { headers, incoming, body }: HttpRequest,
  maxBytes: number,
  charge: (cost: number) => Promise<void>,
): Promise<Uint8Array> {
  const chunks = body();
  const scanner = createJsonScanner();
  const atStart = incoming?.socket.bytesRead ?? 0;
  const onWire = () => (incoming && headers['content-length'] === undefined ? incoming.socket.bytesRead - atStart : 0);
  let kept: Uint8Array = new Uint8Array(0);
  let read = 0;
  let charged = 0;
  const cost = () => Math.floor(Math.max(read, onWire()) / BYTES_FOR_ONE) + Math.floor(scanner.count() / VALUES_FOR_ONE);
  try {
    for (;;) {
      const { value: chunk, done } = await nextChunk(chunks);
      if (done) break;
      const start = read;
      read += chunk.length;
      if (read > maxBytes) throw tooLarge();
      scanner.scan(chunk);
      if (start === 0 && incoming) {
        // Most bodies are one chunk. Those of a socket are nobody else's, so it need not be copied.
        kept = chunk;
      } else {
        if (read > kept.length) {
          const larger = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(read, 2 * kept.length, FIRST_BYTES)));
          larger.set(kept.subarray(0, start));
          kept = larger;
        }
        kept.set(chunk, start);
      }
      if (cost() - charged >= STEP) {
        charged = cost();
        await charge(charged);
      }
    }
  } catch (error) {
    // An unread request must stay open: closing it would close the socket before the response is sent.
    if (!incoming) await chunks.return?.().catch(() => {});
    // What was read is paid for. If that is refused, the first error is still the one to report.
    await charge(cost()).catch(() => {});
    throw error instanceof LimitExceededError ? limitedRequest(error) : error;
  }
  await charge(cost());
  return kept.subarray(0, read);
}

/** @throws GraphQLError when the client ends the request early, or the stream does not consist of bytes */
async function nextChunk(chunks: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array, unknown>> {
  const next = await chunks.next().catch(() => {
    throw malformedRequest();
  });
  if (!next.done && !(next.value instanceof Uint8Array)) throw malformedRequest();
  return next;
}

/**
 * Returns whether the JSON in the parameters of a URL can be parsed within the limits.
 * @throws GraphQLError when it exceeds a limit
 */
export function hasReadableParameters({ search, searchParams }: URL): boolean {
  if (!search) return true;
  return ['variables', 'extensions'].every((name) => {
    const text = searchParams.get(name) || '{}';
    try {
      createJsonScanner().scan(Buffer.from(text));
      return JSON.parse(text) !== undefined;
    } catch (error) {
      if (error instanceof LimitExceededError) throw limitedRequest(error);
      return false;
    }
  });
}
