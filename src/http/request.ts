import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Viewer } from '../access/viewer.ts';
import type { Quota } from './limits/rate-limiter.ts';

/** The headers of a request by their names in lower case, as `node:http` gives them. */
export type RequestHeaders = Readonly<Record<string, string | undefined>>;

/** A request in plain values: the same whether it comes through `fetch` or through a socket. */
export interface HttpRequest {
  readonly method: string;
  /** The host that the request is for, with its port, and `localhost` if it names none. */
  readonly host: string;
  /** The path with the parameters. */
  readonly target: string;
  /** Whether the connection to the client, or to the last proxy, is encrypted. */
  readonly isEncrypted: boolean;
  readonly headers: RequestHeaders;
  /** All headers in their order. A name can occur several times. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[];
  /** Whether the request has a body, which can be empty. */
  readonly hasBody: boolean;
  /** Whether somebody else has read the body, or a part of it, before the gateway got the request. */
  readonly isBodyRead: boolean;
  /** Returns what is aborted when the client goes before it has the whole response. */
  readonly signal: () => AbortSignal;
  /** The body in chunks. Read at most once. */
  readonly body: () => AsyncIterator<Uint8Array>;
  /** Node's request; undefined for a request that came from code and not through a socket. */
  readonly incoming?: IncomingMessage;
}

/** A request whose URL can be read. */
export interface ReadableRequest extends HttpRequest {
  readonly url: URL;
  /** Identifies the request in the response, in the log and in the audit log. */
  readonly requestId: string;
}

/** A response in plain values. The names of the headers are in lower case. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Null if the response has no content. A stream is destroyed when the client goes. */
  readonly body: string | Uint8Array<ArrayBuffer> | Readable | null;
}

/** What is known of a request while it is answered. */
export interface RequestState {
  readonly requestId: string;
  viewer?: Viewer;
  /** The client's network address. */
  address?: string | undefined;
  /** The cost of the operation. */
  cost?: number;
  /** Whether the operation is a mutation. Undefined before it is known. */
  isMutation?: boolean;
  /** Whether the operation is a subscription. */
  isSubscription?: boolean;
  /** The additional cost of the body. */
  bodyCost?: number;
  /** The caller's state in the rate limit. */
  quota?: Quota | undefined;
}
