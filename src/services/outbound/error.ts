/** Why a request did not go out, or got no complete answer. */
export type OutboundFailure =
  /** The request itself is not valid HTTP, or one that never goes out. */
  | 'INVALID_REQUEST'
  /** The URL is not https, and http is not allowed. */
  | 'HTTPS_REQUIRED'
  /** The host, or one of its addresses, is not public. */
  | 'ADDRESS_NOT_ALLOWED'
  | 'NAME_NOT_FOUND'
  /** No connection, or it was closed before the answer was complete. */
  | 'CONNECTION_FAILED'
  /** There is no trusted certificate for the host, or no common version of TLS, or the client certificate cannot be used. */
  | 'TLS_FAILED'
  | 'TIMEOUT'
  /** The answer exceeds a limit. */
  | 'TOO_LARGE'
  /** The answer is not HTTP, or cannot be decompressed. */
  | 'INVALID_ANSWER'
  /** The caller has ended the request, or did not send all of its body. */
  | 'ABORTED';

/** A request to a third party failed. The message contains nothing of the request or of the answer. */
export class OutboundError extends Error {
  override name = 'OutboundError';
  readonly failure: OutboundFailure;
  /** Whether nothing of the request can have reached the service, so that it can be sent again. */
  readonly wasNotSent: boolean;
  constructor(failure: OutboundFailure, wasNotSent: boolean) {
    super(`A request to a third party failed: ${failure}.`);
    this.failure = failure;
    this.wasNotSent = wasNotSent;
  }
}
