import type { ServiceFailure } from '../../errors.ts';

/** What an error code means. */
interface Meaning {
  /** Whether a server can answer so. The gateway makes the other codes itself, of answers without a code that is known. */
  readonly isAnswered: boolean;
  /** Whether the request is certain to fail again, if a server answers so with a status below 500. */
  readonly isFinal: boolean;
  /** What callers are told. */
  readonly failure: ServiceFailure;
  /** Whether they are told the code, too: it is one of a standard. */
  readonly isTold: boolean;
  /** Whether there may have been an answer with tokens that nobody could read. */
  readonly isAnswerLost: boolean;
}

/** A code of a standard. */
const standard = (more: Partial<Meaning>): Meaning => ({
  isAnswered: true,
  isFinal: false,
  failure: 'REFUSED',
  isTold: true,
  isAnswerLost: false,
  ...more,
});
/** A code of the gateway. */
const own = (failure: ServiceFailure, more: Partial<Meaning> = {}): Meaning => ({
  isAnswered: false,
  isFinal: false,
  failure,
  isTold: false,
  isAnswerLost: false,
  ...more,
});

/** All codes of failed token requests: those of RFC 6749, section 5.2, RFC 7009, section 2.2.1, and RFC 8707, section 2, and the gateway’s own. */
export const tokenErrorCodes = {
  invalid_grant: standard({ isFinal: true }),
  invalid_client: standard({ isFinal: true }),
  unauthorized_client: standard({ isFinal: true }),
  unsupported_grant_type: standard({ isFinal: true }),
  invalid_scope: standard({ isFinal: true }),
  invalid_target: standard({ isFinal: true }),
  // Servers also answer so when they are at fault.
  invalid_request: standard({}),
  // An answer with tokens of a type that the gateway cannot use gets this code, too.
  unsupported_token_type: standard({ failure: 'INVALID_ANSWER', isTold: false }),
  // Of RFC 6749, section 4.1.2.1, but some token endpoints answer so, too.
  access_denied: standard({}),
  server_error: standard({}),
  temporarily_unavailable: standard({}),
  slow_down: standard({}),

  unknown_error: own('REFUSED'),
  request_refused: own('REFUSED'),
  invalid_private_key: own('REFUSED'),
  request_failed: own('UNREACHABLE', { isAnswerLost: true }),
  invalid_answer: own('INVALID_ANSWER', { isAnswerLost: true }),
  other_issuer: own('OTHER_ISSUER'),
  invalid_id_token: own('INVALID_ANSWER'),
  unexpected_status: own('INVALID_ANSWER'),
} as const satisfies Readonly<Record<string, Meaning>>;

export type TokenErrorCode = keyof typeof tokenErrorCodes;

/** What well-known services answer in the place of a code of a standard. */
const otherCodes: Readonly<Record<string, TokenErrorCode>> = {
  // GitHub.
  bad_verification_code: 'invalid_grant',
  bad_refresh_token: 'invalid_grant',
  incorrect_client_credentials: 'invalid_client',
  // Slack.
  invalid_code: 'invalid_grant',
  code_already_used: 'invalid_grant',
  invalid_refresh_token: 'invalid_grant',
  token_expired: 'invalid_grant',
  token_revoked: 'invalid_grant',
  bad_client_secret: 'invalid_client',
  invalid_client_id: 'invalid_client',
  ratelimited: 'slow_down',
};

/** Returns the code that a server has answered, in the terms of the standards. Undefined when it is not known. */
export function answeredCode(text: string): TokenErrorCode | undefined {
  if (Object.hasOwn(tokenErrorCodes, text) && tokenErrorCodes[text as TokenErrorCode].isAnswered) return text as TokenErrorCode;
  return Object.hasOwn(otherCodes, text) ? otherCodes[text] : undefined;
}
