import { LimitExceededError, NotFoundError, ServiceFailedError, ValidationError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { OutboundError, type OutboundFailure, type OutboundResponse } from '../services/outbound/index.ts';
import { parsedUrl } from '../url.ts';
import { noteFinding, type ProblemCode } from './findings.ts';
import type { MutationContext } from './mutate.ts';
import { problemOfStatus, sendPrepared } from './send-prepared.ts';
import { serviceFailures } from './service-failures.ts';
import {
  type BodyToSign,
  type PreparedRequest,
  permittedUrl,
  planUse,
  prepareRequest,
  type RequestPurpose,
  recordUse,
  type UsePlan,
} from './use.ts';

type Headers = OutboundResponse['headers'];

/** A request that the gateway is to send over a connection. */
export interface ProxyCall {
  readonly connectionId: string;
  readonly purpose: RequestPurpose;
  readonly method: string;
  /** Below the base URL of the connection, with the query. It begins with a slash or a question mark, or is empty. */
  readonly path: string;
  /** Without those of the caller’s own connection to the gateway, and without what authenticates the caller. */
  readonly headers: Headers;
  /** Null if there is none. `length` is null if it is not known before the end. */
  readonly body: { readonly length: number | null; read(): AsyncIterator<Uint8Array> } | null;
  /** Ends the request, because the caller has gone. */
  readonly signal: AbortSignal;
}

export type SendProxied = (context: MutationContext, call: ProxyCall) => Promise<OutboundResponse>;

/**
 * Creates the function that sends requests over connections, with their credentials, and returns the answers of the services as they are: redirects and
 * errors, too. After a 401, the access token is refreshed once, and the request is sent once more, if its body can be sent again. Nothing of a
 * request is stored.
 */
export function createProxy(limits: Limits): SendProxied {
  const underWay = new Map<string, number>();

  /** @throws LimitExceededError */
  function enter(connectionId: string): () => void {
    const count = underWay.get(connectionId) ?? 0;
    const most = limits.proxyRequestsPerConnection;
    if (count >= most)
      throw new LimitExceededError('Too many requests are under way over the connection', 'PROXY_REQUESTS_PER_CONNECTION', most);
    underWay.set(connectionId, count + 1);
    return () => {
      const left = underWay.get(connectionId)! - 1;
      if (left > 0) underWay.set(connectionId, left);
      else underWay.delete(connectionId);
    };
  }

  /**
   * @throws NotFoundError, CredentialNotUsableError, LimitExceededError, ValidationError, ServiceFailedError
   * @throws what `prepareRequest` and `recordUse` throw
   */
  return async (context, call) => {
    const connection = await context.store.connections.one({ id: call.connectionId });
    if (!connection) throw new NotFoundError('connection', []);
    const leave = enter(connection.id);
    try {
      const plan = await planUse(context, connection, call.purpose);
      // Before the body is read.
      const url = permittedUrl(plan, { url: plan.resolve(call.path), headers: call.headers });
      const body = new SentBody(call, limits);
      const toSign = plan.signs === 'NOTHING' ? body.unsigned : await body.toSign();
      await recordUse(context, plan);
      const prepared = await prepareRequest(context, plan, { method: call.method, url, headers: call.headers, body: toSign });
      return await send(context, { call, url, plan, prepared, body, leave });
    } catch (error) {
      leave();
      throw error;
    }
  };

  async function send(
    context: MutationContext,
    {
      call,
      url,
      plan,
      prepared,
      body,
      leave,
    }: { call: ProxyCall; url: URL; plan: UsePlan; prepared: PreparedRequest; body: SentBody; leave: () => void },
  ): Promise<OutboundResponse> {
    let attempts = 0;
    const rest = () => {
      attempts += 1;
      return {
        ...body.next(),
        signal: call.signal,
        limits: {
          totalMs: limits.proxySeconds * 1_000,
          headersMs: limits.proxyWaitSeconds * 1_000,
          idleMs: limits.proxyWaitSeconds * 1_000,
          maxBodyBytes: limits.proxyMaxBodyBytes,
        },
        onEnd: () => {
          attempts -= 1;
          if (attempts === 0 && hasAnswer) leave();
        },
      };
    };
    // Without another token, the refusal is the answer, and so it is if the tokens cannot be renewed.
    const renew = async () => (body.canRepeat ? prepared.renew().catch(() => null) : null);
    let hasAnswer = false;
    const note = (problem: ProblemCode | null) =>
      noteFinding(context, { connectionId: plan.connection.id, credentialIds: plan.credentials.map(({ id }) => id), problem });
    try {
      const { answer, sent } = await sendPrepared(context, prepared, { method: call.method, rest, renew });
      note(problemOfStatus(answer.status));
      if (answer.status > 599) {
        answer.body.destroy();
        throw new ServiceFailedError('INVALID_ANSWER');
      }
      hasAnswer = true;
      if (attempts === 0) leave();
      return { ...answer, headers: withoutSecrets(withWholeLocation(answer.headers, url), sent) };
    } catch (error) {
      if (body.isTooLarge) throw tooLarge(limits.proxyMaxBodyBytes);
      if (!(error instanceof OutboundError)) throw error;
      // Not of the service but of the caller.
      if (error.failure === 'INVALID_REQUEST' || error.failure === 'ABORTED') throw invalidRequest(error.failure);
      note('SERVICE_FAILED');
      throw new ServiceFailedError(serviceFailures[error.failure]);
    }
  }
}

function tooLarge(most: number): LimitExceededError {
  return new LimitExceededError('The body of the request is too large', 'PROXY_MAX_BODY_BYTES', most);
}

function invalidRequest(failure: OutboundFailure): ValidationError {
  const message =
    failure === 'ABORTED' ? 'did not arrive whole, or not in the size that it declares' : 'has a method or a header that cannot be sent';
  return new ValidationError([{ path: ['request'], message }]);
}

/** The body of a call. What was sent of it is kept as long as it is small, so that it can be sent once more. */
class SentBody {
  isTooLarge = false;
  readonly #body: ProxyCall['body'];
  readonly #limits: Limits;
  /** Null if it is too large to be kept. */
  #kept: Uint8Array[] | null = [];
  #size = 0;
  #isComplete = false;

  /** @throws LimitExceededError when the declared size is too large */
  constructor({ body }: ProxyCall, limits: Limits) {
    this.#body = body;
    this.#limits = limits;
    this.#isComplete = body === null;
    if ((body?.length ?? 0) > limits.proxyMaxBodyBytes) throw tooLarge(limits.proxyMaxBodyBytes);
  }

  get unsigned(): BodyToSign {
    return this.#body ? 'NOT_READ' : 'ABSENT';
  }

  /** Whether all of it was sent and kept. */
  get canRepeat(): boolean {
    return this.#isComplete && this.#kept !== null;
  }

  /** Reads it before it is sent. @throws LimitExceededError, ValidationError */
  async toSign(): Promise<BodyToSign> {
    const { proxyBufferBytes: most } = this.#limits;
    const isOver = () =>
      new LimitExceededError('A signature covers the body of the request, which is too large', 'PROXY_BUFFER_BYTES', most);
    if ((this.#body?.length ?? 0) > most) throw isOver();
    try {
      for await (const _ of this.#read()) if (this.#kept === null) throw isOver();
    } catch (error) {
      throw error instanceof LimitExceededError ? error : invalidRequest('ABORTED');
    }
    return this.#size === 0 ? 'ABSENT' : { bytes: Buffer.concat(this.#kept!) };
  }

  /** What the next attempt sends: the caller's stream, or what was kept of it. */
  next(): { readonly body?: Uint8Array | AsyncIterable<Uint8Array>; readonly contentLength?: number } {
    if (this.canRepeat) return this.#size === 0 ? {} : { body: Buffer.concat(this.#kept!) };
    const length = this.#body?.length ?? null;
    return { body: this.#read(), ...(length !== null && { contentLength: length }) };
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    const chunks = this.#body?.read();
    if (!chunks) return;
    for await (const chunk of { [Symbol.asyncIterator]: () => chunks }) {
      this.#size += chunk.length;
      if (this.#size > this.#limits.proxyMaxBodyBytes) {
        this.isTooLarge = true;
        throw tooLarge(this.#limits.proxyMaxBodyBytes);
      }
      if (this.#size > this.#limits.proxyBufferBytes) this.#kept = null;
      this.#kept?.push(chunk);
      yield chunk;
    }
    this.#isComplete = true;
  }
}

/** Headers that lead to a URL. A service often builds it from that of the request, with all parameters. */
const locations: readonly string[] = ['location', 'content-location'];
/** Shorter pieces of a secret are found by chance. */
const SECRET_PIECE_MIN = 8;
/** How many pieces of a secret are searched, the longest first. Each costs as much as the headers are long. */
const SECRET_PIECES_MAX = 32;
/** How often a text may be encoded. A service that leads to its page for signing in encodes the URL of the request, which is encoded itself. */
const ENCODINGS_MAX = 4;

/** Removes what the credentials have added to the request from the headers of its answer. What a service repeats in a body is not found. */
function withoutSecrets(headers: Headers, { added, query }: PreparedRequest): Headers {
  const names = query.map(([name]) => name);
  const secrets = [...new Set(added.map((value) => value.expose()).flatMap(piecesOf))];
  return headers
    .map(([name, value]) => [name, locations.includes(name.toLowerCase()) ? withoutParameters(value, names) : value] as const)
    .filter(([, value]) => {
      const text = unescaped(value);
      return !secrets.some((secret) => text.includes(secret));
    });
}

/** Returns a secret and its parts, such as the token after `Bearer`, as they are searched. */
function piecesOf(secret: string): string[] {
  const parts = secret.split(/[\s,;="]+/).sort((a, b) => b.length - a.length);
  return [secret, ...parts.slice(0, SECRET_PIECES_MAX)]
    .filter(({ length }) => length >= SECRET_PIECE_MIN)
    .map((piece) => unescaped(Buffer.from(piece).toString('latin1')));
}

/** Returns the bytes of a text without the escapes of URLs, forms and JSON, so that a secret and what a service makes of it are the same. */
function unescaped(bytes: string): string {
  let text = bytes;
  for (let round = 0; round < ENCODINGS_MAX; round++) {
    const decoded = text.replace(/(?:%|\\+u00)([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (decoded === text) break;
    text = decoded;
  }
  return text.replaceAll('\\', '').replaceAll('+', ' ');
}

/**
 * Returns headers whose redirect says in full where it leads, in a form that all clients read alike. One that follows redirects by itself would otherwise
 * look for a path of the service at the gateway, with its token for the gateway.
 */
function withWholeLocation(headers: Headers, url: URL): Headers {
  return headers.flatMap(([name, value]) => {
    if (name.toLowerCase() !== 'location') return [[name, value] as const];
    const whole = parsedUrl(value, url);
    return whole ? [[name, whole.href] as const] : [];
  });
}

function withoutParameters(location: string, names: readonly string[]): string {
  const [, path = '', search, hash = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(location) ?? [];
  if (search === undefined || names.length === 0) return location;
  const kept = search.split('&').filter((parameter) => ![...new URLSearchParams(parameter).keys()].some((name) => names.includes(name)));
  return `${path}${kept.length > 0 ? `?${kept.join('&')}` : ''}${hash}`;
}
