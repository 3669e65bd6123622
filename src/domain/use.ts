import { CredentialNotUsableError, type NotUsable } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import type { ClientCertificate } from '../services/outbound/index.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { CredentialPurpose, CredentialRecord } from '../store/credential.ts';
import type { DomainContext } from './context.ts';
import type { MutationContext } from './mutate.ts';

/** A part of a request that a credential adds. */
export interface PlanStep {
  readonly credentialId: string;
  readonly location: StepLocation;
  /** The name of the header, the query parameter or the cookie. Null for a client certificate and a path. */
  readonly name: string | null;
  /** What is added, with every secret replaced, such as `Bearer *****`. */
  readonly value: string;
}

/** Where a step adds something. */
export type StepLocation = 'HEADER' | 'QUERY' | 'COOKIE' | 'PATH' | 'CLIENT_CERTIFICATE';

/** A reason why requests cannot be sent over a connection, or not with one of its credentials. */
export interface PlanProblem {
  readonly code: NotUsable;
  /** Null if it is about the connection. */
  readonly credentialId: string | null;
}

/** How the credentials of a connection are applied to requests. No secret was opened for it. */
export interface UsePlan {
  readonly connection: ConnectionRecord;
  readonly purpose: CredentialPurpose;
  /** In the order of application. */
  readonly steps: readonly PlanStep[];
  readonly problems: readonly PlanProblem[];
  /** With the variables of the connection in it. Null if there is none, or it is no URL. */
  readonly baseUrl: URL | null;
  /** The hosts that all credentials allow. Canonical host names, or `*.example.com`. */
  readonly allowedHosts: readonly string[];
  readonly credentials: readonly CredentialRecord[];
  /** What must be known of the body before the request is prepared: a signature covers it. Otherwise it need not be read before. */
  readonly signs: 'NOTHING' | 'BODY_DIGEST' | 'BODY';
  /** Whether a request to this URL may be prepared. */
  permits(url: URL): boolean;
  /**
   * Returns the URL of a path with its query under the base URL: what the caller sends begins with a slash, or is empty. Null if it leads elsewhere.
   */
  resolve(pathAndQuery: string): URL | null;
}

/** The body of a request, for signatures. `ABSENT` stands for no body, or an empty one. */
export type BodyToSign = { readonly bytes: Uint8Array } | { readonly sha256: string } | 'ABSENT' | 'NOT_READ';

/** A request that is to be sent over a connection. */
export interface RequestToPrepare {
  readonly method: string;
  readonly url: URL;
  /** The headers that the request will have, without those of the credentials. A name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: BodyToSign;
}

/** What a request needs to be sent over a connection. */
export interface PreparedRequest {
  readonly plan: UsePlan;
  /** Headers to set, `Cookie` among them: each replaces any of its name. */
  readonly headers: readonly (readonly [name: string, value: Redacted])[];
  /** Query parameters that are added. They are in the URL of `toSend` already. */
  readonly query: readonly (readonly [name: string, value: Redacted])[];
  readonly clientCertificate: ClientCertificate | null;
  /** From when on the service may refuse it: a token or a signature runs out. Null if that is not known. */
  readonly expiresAt: Date | null;
  /** The URL and all headers, those of the caller and those of the credentials, in plaintext: for the request itself and nothing else. */
  toSend(): { readonly url: URL; readonly headers: readonly (readonly [name: string, value: string])[] };
  /**
   * After the service has refused it (401): prepares the request again with another token. Null if no other can be had. Call it once, and only if
   * the body can be sent again.
   */
  renew(): Promise<PreparedRequest | null>;
}

/**
 * Reads how the credentials of a connection are applied. Opens no secret and sends nothing. Problems are in the plan, not thrown.
 * @throws AlteredRecordError
 */
export async function planUse(_context: DomainContext, _connection: ConnectionRecord, _purpose: CredentialPurpose): Promise<UsePlan> {
  throw new CredentialNotUsableError('NOT_SUPPORTED');
}

/**
 * Opens the secrets of a plan for one request, and obtains the tokens that it needs.
 * @throws CredentialNotUsableError when the plan has problems, or does not permit the URL, or the caller sets what a credential sets
 * @throws UnreadableSecretError, ServiceFailedError
 */
export async function prepareRequest(_context: DomainContext, _plan: UsePlan, _request: RequestToPrepare): Promise<PreparedRequest> {
  throw new CredentialNotUsableError('NOT_SUPPORTED');
}

/**
 * Writes that a prepared request is about to be sent: to the audit log, at once or summed per minute, and for `lastUsedAt`. Call it before the request
 * is sent, and do not send it if this fails. `action` names the connection's noun, such as `{ name: 'proxyRequest', noun: 'connection', … }`.
 * @throws UnavailableError, UnauthenticatedError as `mutate` does
 */
export async function recordUse(_context: MutationContext, _request: PreparedRequest): Promise<void> {}
