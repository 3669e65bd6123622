import type { Readable } from 'node:stream';
import { type Outbound, OutboundError, type OutboundFailure } from '../outbound/index.ts';

/** A delivery of a webhook, ready to be sent. */
export interface WebhookMessage {
  readonly url: URL;
  /** The same for each attempt. */
  readonly id: string;
  /** When it is sent, in seconds since 1970. */
  readonly seconds: number;
  /** The value of `webhook-signature`. */
  readonly signature: string;
  readonly body: string;
  /** Messages of different ones share no connection. */
  readonly partition: string;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** What became of a delivery. */
export interface WebhookAnswer {
  /** Null if there was no answer. */
  readonly status: number | null;
  readonly failure: OutboundFailure | null;
  readonly milliseconds: number;
  /** The first bytes of the answer, as text. Null if there was none, or if it is compressed. */
  readonly text: string | null;
  /** How long the receiver asks to wait before the next attempt, in milliseconds. */
  readonly retryAfterMs: number | null;
}

const LIMITS = { connectMs: 5_000, headersMs: 15_000, idleMs: 5_000, totalMs: 20_000 } as const;
/** What is kept of the answer, in bytes, and how long it is waited for after its headers, in milliseconds. */
const TEXT_BYTES = 1_024;
const TEXT_MS = 2_000;

/** Sends a delivery as Standard Webhooks says. Redirects are answers like others. */
export async function sendWebhook(outbound: Outbound, message: WebhookMessage): Promise<WebhookAnswer> {
  const startedAt = performance.now();
  const { url, id, seconds, signature, body, partition, signal } = message;
  const sent = Buffer.from(body);
  const result = (known: Partial<WebhookAnswer>): WebhookAnswer => ({
    status: null,
    failure: null,
    text: null,
    retryAfterMs: null,
    ...known,
    milliseconds: Math.round(performance.now() - startedAt),
  });
  try {
    const answer = await outbound.request({
      method: 'POST',
      url,
      headers: [
        ['content-type', 'application/json'],
        ['accept', '*/*'],
        ['user-agent', 'credential-gateway'],
        ['webhook-id', id],
        ['webhook-timestamp', String(seconds)],
        ['webhook-signature', signature],
      ],
      body: sent,
      partition,
      limits: LIMITS,
      ...(signal && { signal }),
    });
    const header = (wanted: string) => answer.headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
    const text = await firstText(answer.body);
    return result({
      status: answer.status,
      text: header('content-encoding') === undefined ? text : null,
      retryAfterMs: waitOf(header('retry-after'), seconds * 1_000),
    });
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    return result({ failure: error.failure });
  }
}

/** Returns the beginning of a body as text that can be shown. What does not come is not waited for: the status has decided already. */
async function firstText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => body.destroy(), TEXT_MS);
  try {
    for await (const chunk of body) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size >= TEXT_BYTES) break;
    }
  } catch {
    // It was cut off, or there was no more within the time.
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
  const text = Buffer.concat(chunks).subarray(0, TEXT_BYTES).toString('utf8');
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu, '\ufffd');
}

/** Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date in the form that senders must use (section 5.6.7). Null if it is neither. */
function waitOf(text: string | undefined, sentAt: number): number | null {
  if (text === undefined) return null;
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const at = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - sentAt);
}
