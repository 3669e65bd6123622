import type { OutboundFailure } from '../outbound/index.ts';
import { type TokenErrorCode, tokenErrorCodes } from './error-codes.ts';

/** The failures after which the answer may be lost although the request has arrived. After a timeout, a server may still be at work. */
const lostConnections: ReadonlySet<OutboundFailure> = new Set(['CONNECTION_FAILED', 'TLS_FAILED', 'ABORTED', 'INVALID_ANSWER']);

/** A token request failed. The message contains nothing of the request or of the answer. */
export class TokenRequestError extends Error {
  override name = 'TokenRequestError';
  readonly code: TokenErrorCode;
  /** Why the request did not go out, or got no complete answer. Null if there is an answer. The code is then `request_failed`. */
  readonly outboundFailure: OutboundFailure | null;
  /** Whether the request will fail again until a person does something: consent again, or another secret. */
  readonly isFinal: boolean;
  /** Whether the server may have carried it out although there is no answer. */
  readonly mayHaveSucceeded: boolean;
  constructor(code: TokenErrorCode, isFinal: boolean, mayHaveSucceeded: boolean, outboundFailure: OutboundFailure | null = null) {
    super(`A token request failed: ${outboundFailure ?? code}.`);
    this.code = code;
    this.outboundFailure = outboundFailure;
    this.isFinal = isFinal;
    this.mayHaveSucceeded = mayHaveSucceeded;
  }

  /** Whether the server may have answered with tokens that did not arrive. */
  get isAnswerLost(): boolean {
    const { mayHaveSucceeded, outboundFailure, code } = this;
    return mayHaveSucceeded && (outboundFailure === null ? tokenErrorCodes[code].isAnswerLost : lostConnections.has(outboundFailure));
  }
}
