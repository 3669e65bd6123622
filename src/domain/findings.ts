import type { DomainContext } from './context.ts';

/** What is wrong with a credential or a connection. The health of both follows from these. */
export type ProblemCode =
  /** A required secret is not set. */
  | 'SECRET_MISSING'
  /** A secret cannot be opened. */
  | 'SECRET_UNREADABLE'
  /** The access token has expired, and there is no refresh token. */
  | 'TOKEN_EXPIRED'
  /** The service refuses to renew the tokens: a person must consent again. */
  | 'AUTHORIZATION_LOST'
  /** Tokens could not be obtained or refreshed, for a reason that may pass. */
  | 'TOKEN_REQUEST_FAILED'
  /** The service refuses the credential (401). */
  | 'REFUSED'
  /** The service allows it too little (403). */
  | 'FORBIDDEN'
  /** The service cannot be reached, or fails. */
  | 'SERVICE_FAILED'
  | 'CERTIFICATE_EXPIRED'
  | 'CERTIFICATE_NOT_YET_VALID'
  | 'KEY_MISMATCH';

/** What was learned about credentials by using them. */
export interface Finding {
  readonly connectionId: string | null;
  readonly credentialIds: readonly string[];
  /** Null if it worked, which clears earlier findings. */
  readonly problem: ProblemCode | null;
}

/** Notes what was learned by using a credential. To be written. */
export function noteFinding(_context: DomainContext, _finding: Finding): void {}
