import { encodeId, parseId } from '../access/global-id.ts';
import { may, type Viewer } from '../access/viewer.ts';
import type { MutationContext } from '../domain/mutate.ts';
import type { ProxyCall, SendProxied } from '../domain/proxy.ts';
import type { Refusals } from '../domain/refusals.ts';
import {
  CredentialNotUsableError,
  type ErrorCode,
  ForbiddenError,
  GatewayError,
  LimitExceededError,
  NotFoundError,
  ServiceFailedError,
} from '../errors.ts';
import { responseHeaders } from '../response-headers.ts';
import { parsedUrl, staysBelow } from '../url.ts';
import { answer, type OnDefect, publicError } from './error-redaction.ts';
import { isProxyPath, proxyTarget } from './paths.ts';
import { type Refusal, refusalResponse } from './refusal.ts';
import type { HttpResponse, ReadableRequest, RequestHeaders, RequestState } from './request.ts';

export interface ProxySettings {
  readonly proxy: SendProxied;
  /** Creates the domain's context for a viewer. */
  readonly contextOf: (viewer: Viewer) => Omit<MutationContext, 'action'>;
  /** Finds out who sends a request, and charges for it. */
  readonly admit: (request: ReadableRequest, state: RequestState) => Promise<Viewer>;
  readonly refusals: Refusals;
}

/** The name of a proxied request in the audit log. */
const ACTION = 'proxyRequest';
/** The header that names the purpose of the credentials. `ACTION` if it is absent. */
const PURPOSE = 'credential-gateway-purpose';
const SCOPE = 'connections.use';
/** After how many seconds a caller with too many requests under way should try again. */
const RETRY_SECONDS = 1;

/** Headers of one connection (RFC 9110, section 7.6.1), and what negotiates or frames it. They end here, in both directions. */
const hopByHop: readonly string[] = [
  ...['connection', 'expect', 'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization'],
  ...['proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
];
/** Of a request: what is for the gateway, and what tells where the request came from. */
const ofCaller: readonly string[] = ['authorization', 'content-length', 'cookie', 'cookie2', 'forwarded', 'host', 'via', PURPOSE];
const ofProxiesBefore =
  /^(?:x-forwarded(?:-|$)|x-original-|x-envoy-|x-rewrite-|x-(?:http-)?host(?:-override)?$|cf-|fastly-|(?:true-|x-|x-cluster-)?client-ip$|x-real-ip$)/;
/**
 * Of an answer: what tells a browser or a cache something about our host. A service does not speak for it. `Set-Cookie` is often the session of the
 * credential itself, and the caller must not have that either.
 */
const ofHost: readonly string[] = [
  ...[
    'accept-ch',
    'age',
    'alt-svc',
    'alt-used',
    'cache-control',
    'clear-site-data',
    'content-security-policy',
    'critical-ch',
    'document-policy',
  ],
  ...['content-security-policy-report-only', 'cross-origin-embedder-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy'],
  ...['date', 'expect-ct', 'expires', 'nel', 'origin-agent-cluster', 'origin-trial', 'permissions-policy', 'pragma', 'public-key-pins'],
  ...[
    'ratelimit',
    'ratelimit-policy',
    'referrer-policy',
    'refresh',
    'report-to',
    'reporting-endpoints',
    'server-timing',
    'service-worker-allowed',
  ],
  ...[
    'set-cookie',
    'set-cookie2',
    'set-login',
    'sourcemap',
    'speculation-rules',
    'strict-transport-security',
    'supports-loading-mode',
    'tk',
  ],
  ...[
    'timing-allow-origin',
    'vary',
    'via',
    'x-content-type-options',
    'x-dns-prefetch-control',
    'x-frame-options',
    'x-request-id',
    'x-sourcemap',
  ],
  ...['x-xss-protection', 'credential-gateway-answer'],
];
const corsHeader = /^access-control-/;

/** The statuses of errors that have none of their own. */
const statuses: Partial<Record<ErrorCode, number>> = {
  VALIDATION_FAILED: 400,
  BAD_REQUEST: 400,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CREDENTIAL_NOT_USABLE: 409,
  UNREADABLE_SECRET: 409,
  ALTERED_RECORD: 409,
  LIMIT_EXCEEDED: 413,
  SERVICE_FAILED: 502,
  TIMEOUT: 504,
};

/** Returns whether a request is for the proxy. */
export function isProxied({ url }: ReadableRequest): boolean {
  return isProxyPath(url.pathname);
}

/**
 * Creates the function that answers `/proxy/<id of a connection>/<path>`: it has the request sent over the connection, and streams the answer of the
 * service back. It is for back ends. A browser gets nothing of it: an answer of a third party must never become a page of our origin. Should one
 * come to a browser nevertheless, it is sandboxed, never sniffed and not cached, and says nothing about our host.
 */
export function createProxyDoor({ proxy, contextOf, admit, refusals }: ProxySettings) {
  async function send(request: ReadableRequest, state: RequestState): Promise<HttpResponse> {
    const { headers, requestId } = request;
    // Browsers send at least one of them.
    if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
      return refusalResponse({ status: 403, code: 'FORBIDDEN', message: 'Requests of browsers are not sent over connections.' }, requestId);
    }
    const viewer = await admit(request, state);
    const refuse = (error: { readonly code: ErrorCode }) => {
      refusals.add(viewer, ACTION, error.code, { requestId: state.requestId ?? null, address: state.address ?? null });
      return error;
    };
    if (!may(viewer, SCOPE)) throw refuse(new ForbiddenError(SCOPE));
    const call = callOf(request);
    if ('message' in call) return refusalResponse(call, requestId);
    const action = { name: ACTION, noun: 'connection', address: state.address ?? null, requestId: state.requestId ?? null } as const;
    const {
      status,
      headers: ofService,
      body,
    } = await proxy({ ...contextOf(viewer), action }, call).catch((error) => {
      throw error instanceof GatewayError && !(error instanceof ServiceFailedError) ? refuse(error) : error;
    });
    const isEmpty = request.method === 'HEAD' || [204, 205, 304].includes(status);
    if (isEmpty) body.resume();
    return { status, headers: answerHeaders(ofService, status, request), body: isEmpty ? null : body };
  }

  return async (request: ReadableRequest, state: RequestState, onDefect: OnDefect): Promise<HttpResponse> => {
    try {
      return await send(request, state);
    } catch (error) {
      return errorResponse(error, onDefect, request.requestId);
    }
  };
}

const notReadable: Refusal = {
  status: 400,
  code: 'BAD_REQUEST',
  message:
    'The path of a proxied request must consist of ASCII characters and escapes of bytes (RFC 3986), without a backslash, an empty first segment, or a segment that is . or .. in any form, and encoded at most four times.',
};
const wrongPurpose: Refusal = { status: 400, code: 'BAD_REQUEST', message: 'Credential-Gateway-Purpose must be ACTION or TRIGGER.' };
const noWebSocket: Refusal = { status: 400, code: 'BAD_REQUEST', message: 'The protocol cannot be switched to WebSocket.' };

/** Returns what a request asks for, or why it is refused. @throws NotFoundError */
function callOf({ target, method, headers, rawHeaders, hasBody, body, signal }: ReadableRequest): ProxyCall | Refusal {
  // The target as it came, and not the URL, which has resolved its dots.
  const [, globalId = '', path = '', search = ''] = proxyTarget.exec(target) ?? [];
  if (!staysBelow(path + search)) return notReadable;
  if (/\bwebsocket\b/i.test(headers.upgrade ?? '')) return noWebSocket;
  const purpose = headers[PURPOSE] ?? 'ACTION';
  if (purpose !== 'ACTION' && purpose !== 'TRIGGER') return wrongPurpose;
  const id = parseId(globalId);
  // One answer for all that is not there.
  if (id?.noun !== 'connection') throw new NotFoundError('connection', []);
  const length = headers['content-length'];
  return {
    connectionId: id.id,
    purpose,
    method,
    path: path + search,
    headers: requestHeaders(rawHeaders, headers),
    body: hasBody ? { length: length === undefined ? null : Number(length), read: body } : null,
    signal: signal(),
  };
}

type Pairs = readonly (readonly [name: string, value: string])[];

function requestHeaders(pairs: Pairs, { connection }: RequestHeaders): Pairs {
  return pairs.filter(([name]) => {
    // Servers that pass headers on as variables (CGI) take an underscore for a hyphen.
    const lower = name.toLowerCase().replaceAll('_', '-');
    return !hopByHop.includes(lower) && !optionsOf(connection).includes(lower) && !ofCaller.includes(lower) && !ofProxiesBefore.test(lower);
  });
}

/** The headers that belong to one connection, because the sender says so. */
function optionsOf(connection: string | undefined): string[] {
  return (connection ?? '').split(',').map((option) => option.trim().toLowerCase());
}

function answerHeaders(pairs: Pairs, status: number, { method, url }: ReadableRequest): Record<string, string> {
  const connection = pairs.filter(([name]) => name.toLowerCase() === 'connection').map(([, value]) => value);
  const dropped = [...hopByHop, ...ofHost, ...optionsOf(connection.join())];
  // In an answer without content, it can tell of another one (RFC 9110, section 8.6), and clients that wait for it would wait in vain.
  if (status === 204 || status === 205 || (status === 304 && method !== 'HEAD')) dropped.push('content-length');
  const headers = new Map<string, string>();
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    if (dropped.includes(lower) || corsHeader.test(lower)) continue;
    // A client that follows redirects by itself would send its token along, and do at the gateway what the service says.
    if (lower === 'location' && parsedUrl(value, url)?.host === url.host) continue;
    // RFC 9110, section 5.3: several are one, in their order.
    const before = headers.get(lower);
    headers.set(lower, before === undefined ? value : `${before}, ${value}`);
  }
  return {
    ...Object.fromEntries(headers),
    'content-security-policy': `${responseHeaders['content-security-policy']}; sandbox`,
    // Our own answers do not have it: a 401 with it is one of the service.
    'credential-gateway-answer': 'service',
  };
}

function errorResponse(error: unknown, onDefect: OnDefect, requestId: string): HttpResponse {
  const { message, extensions } = publicError(error, onDefect);
  const { http, code, ...more } = extensions as { code: ErrorCode; http?: { status: number; headers?: Record<string, string> } };
  const isBusy = error instanceof LimitExceededError && error.limit === 'PROXY_REQUESTS_PER_CONNECTION';
  const isLate = error instanceof ServiceFailedError && error.reason === 'TIMEOUT';
  const shown = answer(code, message, { ...more, ...reasonOf(error) });
  return {
    status: isBusy ? 429 : isLate ? 504 : (http?.status ?? statuses[code] ?? 500),
    headers: {
      'content-type': 'application/json; charset=utf-8',
      ...(isBusy && { 'retry-after': String(RETRY_SECONDS) }),
      ...http?.headers,
    },
    body: JSON.stringify({ errors: [{ message: shown.message, extensions: { ...shown.extensions, requestId } }] }),
  };
}

function reasonOf(error: unknown): Record<string, unknown> {
  if (error instanceof ServiceFailedError) return { reason: error.reason };
  if (!(error instanceof CredentialNotUsableError)) return {};
  return { reason: error.reason, credentialId: error.credentialId && encodeId('credential', error.credentialId) };
}
