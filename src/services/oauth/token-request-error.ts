import type { OutboundFailure } from '../outbound/index.ts';

/** A token request failed. The message contains nothing of the request or of the answer. */
export class TokenRequestError extends Error {
  override name = 'TokenRequestError';
  /** The error code of RFC 6749, section 5.2, if it is a registered one, such as `invalid_grant`; otherwise why there is no usable answer. */
  readonly code: string;
  /** Why the request did not go out, or got no complete answer. Null if there is an answer. The code is then `request_failed`. */
  readonly outboundFailure: OutboundFailure | null;
  /** Whether the request will fail again until a person does something: consent again, or another secret. */
  readonly isFinal: boolean;
  /** Whether the server may have carried it out although there is no answer. */
  readonly mayHaveSucceeded: boolean;
  constructor(code: string, isFinal: boolean, mayHaveSucceeded: boolean, outboundFailure: OutboundFailure | null = null) {
    super(`A token request failed: ${outboundFailure ?? code}.`);
    this.code = code;
    this.outboundFailure = outboundFailure;
    this.isFinal = isFinal;
    this.mayHaveSucceeded = mayHaveSucceeded;
  }
}
