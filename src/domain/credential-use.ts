import { type Choices, choiceList, textList } from '../fields/field.ts';
import { canonicalHost, coversHost } from '../fields/hosts.ts';
import type { CredentialPurpose, CredentialRecord } from '../store/credential.ts';
import type { FieldsIn } from './fields.ts';

/** What a credential can be used for. Each purpose must be allowed by the credential. */
export const credentialPurpose = {
  enumName: 'CredentialPurpose',
  description: 'What a credential is used for.',
  values: {
    ACTION: 'To authenticate requests that are sent to the service, as an action credential of a connection.',
    TRIGGER: 'To authenticate requests that set up what the service sends, as a trigger credential of a connection.',
    TOKEN_REQUEST: 'To obtain, renew, check and revoke tokens at an OAuth 2.0 server.',
    SSO_SIGNING: 'To sign the tokens of `createSSOLink`, which sign contacts in to Zendesk.',
  },
} as const satisfies Choices<CredentialPurpose>;

/** The fields of a credential that decide where and for what it may be used. */
export const useFields = {
  allowedDomains: textList({
    optional: true,
    default: [],
    maxItems: 20,
    maxLength: 255,
    format: 'hostPattern',
    description:
      'The only hosts that it may be sent to or sign for: `api.example.com`, or `*.example.com` for all hosts below it. Without any, it cannot be used to send or sign anything. A connection can only narrow this. For `SSO_SIGNING`, the host itself must be listed: a wildcard does not count.',
  }),
  allowedPurposes: choiceList({
    choices: credentialPurpose,
    optional: true,
    default: [],
    minItems: 0,
    maxItems: Object.keys(credentialPurpose.values).length,
    description: 'The uses that it allows, of those that `CredentialPurpose` lists. None unless set.',
  }),
} satisfies FieldsIn<CredentialRecord>;

/** One use of a credential through a connection. */
export interface CredentialUse {
  readonly purpose: CredentialPurpose;
  /** The host of the request, or the recipient of the signed token, after all variables are replaced. */
  readonly host: string;
  /** The `allowedDomain` of the connection. It narrows where the credential may be used. Null if the connection has none. */
  readonly narrowedTo: string | null;
}

/** A reason why a credential may not be used. */
export type ForbiddenUse = 'DISABLED' | 'SECRET_MISSING' | 'PURPOSE' | 'DOMAIN';

/**
 * The purposes for which the host itself must be listed. Below a domain such as `zendesk.com` are the accounts of others, and a token for one
 * account must not be signed for another.
 */
const exactPurposes: ReadonlySet<CredentialPurpose> = new Set(['SSO_SIGNING']);

/**
 * Decides whether a credential may be used. Whatever sends a secret or signs with it must ask this first. Returns the reason if it may not be
 * used, otherwise null.
 */
export function forbiddenUse(credential: CredentialRecord, use: CredentialUse): ForbiddenUse | null {
  return forbiddenUses(credential, use)[0] ?? null;
}

/** Returns every reason why a credential may not be used. Without a host, nothing is said about hosts. */
export function forbiddenUses(
  credential: CredentialRecord,
  { purpose, host, narrowedTo }: Omit<CredentialUse, 'host'> & { readonly host: string | null },
): ForbiddenUse[] {
  const reasons: ForbiddenUse[] = [];
  if (!credential.enabled) reasons.push('DISABLED');
  if (credential.pendingSecrets?.length) reasons.push('SECRET_MISSING');
  if (!credential.allowedPurposes?.includes(purpose)) reasons.push('PURPOSE');
  if (host === null) return reasons;
  const isNarrowedAway = narrowedTo !== null && canonicalHost(narrowedTo) !== canonicalHost(host);
  if (isNarrowedAway || !allowsHost(credential, host, exactPurposes.has(purpose))) reasons.push('DOMAIN');
  return reasons;
}

/** Whether the allowed domains of a credential include a host. With `exact`, wildcards do not count. */
export function allowsHost({ allowedDomains = [] }: CredentialRecord, host: string, exact = false): boolean {
  const canonical = canonicalHost(host);
  if (canonical === undefined) return false;
  return allowedDomains.some((domain) => (exact ? domain === canonical : coversHost(domain, canonical)));
}
