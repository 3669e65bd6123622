import { randomUUID } from 'node:crypto';
import type { CredentialKind } from '../credential-kinds/define.ts';
import { EmailNotVerifiedError, NotFoundError, type SSOMissing, SSONotConfiguredError, ValidationError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import { integer } from '../fields/field.ts';
import type { Redacted } from '../redacted.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { Contact, ContactType, EndUserRecord } from '../store/end-user.ts';
import type { PageRequest } from '../store/records.ts';
import type { DomainContext } from './context.ts';
import { type CredentialUse, forbiddenUse } from './credential-use.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { shown } from './reading.ts';
import { required } from './records.ts';
import { type ConnectionRef, type EndUserRef, findConnection, findEndUser } from './references.ts';
import { checkReturnTo } from './return-to.ts';
import { claimsOf, type SSOLinkClaims } from './sso-claims.ts';
import { Checks } from './validation.ts';

/** The lifetime of a link. Zendesk accepts a token for three minutes after its `iat`. */
export const linkLifetime = integer({
  optional: true,
  default: 120,
  min: 1,
  max: 180,
  description: 'The time until `expiresAt`, in seconds.',
});

/** The credential kinds with a signing secret in the field `secret`. */
const signingKinds = ['jwt', 'jwtBearer'];
/** Zendesk requires the account's own hostname, not a custom one. */
const zendeskHost = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.zendesk\.com$/;
/** The maximum number of credentials, and of connections, that are searched for the one that can sign. */
const CANDIDATES_MAX = 100;
const candidates: PageRequest = { limit: CANDIDATES_MAX, sortField: 'createdAt', descending: false };

export interface SSOLinkRequest {
  readonly endUser: EndUserRef;
  readonly contactType: ContactType;
  /** Required only if several connections can sign. */
  readonly connection?: ConnectionRef | null;
  readonly returnTo?: string | null;
  readonly lifetimeSeconds?: number | null;
}

/** A link that signs a contact in once. */
export interface SSOLink {
  readonly endUserId: string;
  readonly contactType: ContactType;
  /** The URL that the browser posts the token to. */
  readonly endpoint: string;
  readonly token: Redacted;
  readonly returnTo: string | null;
  readonly claims: SSOLinkClaims;
  readonly expiresAt: Date;
}

/**
 * Creates a link that signs a contact in to Zendesk. The order of the checks: the contact exists, its email address is verified, a connection
 * can sign, `returnTo` is allowed. The viewer is already authenticated.
 *
 * @throws ValidationError, NotFoundError, EmailNotVerifiedError, SSONotConfiguredError, UnreadableSecretError
 */
export async function createSSOLink(context: MutationContext, request: SSOLinkRequest): Promise<SSOLink> {
  const { store, now } = context;
  const { endUser: endUserRef, contactType, connection: connectionRef, returnTo: wanted, ...given } = request;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput({ lifetimeSeconds: linkLifetime }, given));
  const jti = randomUUID();
  const make = async () => {
    const endUser = await findEndUser(context, endUserRef);
    const contact = endUser?.contacts.find(({ type }) => type === contactType);
    // The same error if either of the two is missing.
    if (!endUser || !contact) throw new NotFoundError('contact', ['contactType']);
    if (!isVerified(contact)) throw new EmailNotVerifiedError();
    // A deletion of the end user writes it too, so no link is created for a deleted end user.
    await store.endUsers.touch(endUser.id);
    const { host, credential } = await findSigner(context, endUser, connectionRef);
    const returnTo = wanted == null ? null : checkReturnTo(wanted, host, ['returnTo']);

    const { integrationId } = endUser;
    const integration = required(await store.integrations.one({ id: integrationId }), new NotFoundError('contact', ['contactType']));
    const iat = Math.floor(now().getTime() / 1000);
    const expiresAt = new Date((iat + valid!.lifetimeSeconds) * 1000);
    const claims = { iat, jti, ...claimsOf(endUser, contact, integration.ssoClaims ?? null) };
    const issuedAt = new Date(iat * 1000);
    await store.ssoLinks.insert({ jti, integrationId, endUserId: endUser.id, contactType, issuedAt, expiresAt });
    const token = await store.secrets.sign(credential, 'secret', encodingOf(context.kinds.of(credential)), claims);
    const endpoint = `https://${host}/access/jwt`;
    return { id: endUser.id, link: { endUserId: endUser.id, contactType, endpoint, token, returnTo, claims, expiresAt } };
  };
  // The object of the audit entry is the end user. Its reason contains the contact type and the id of the link.
  // Everything else is checked in the order above, so that it is not told before the contact exists.
  const findContact = async () => {
    if (context.malformed?.length) return;
    const endUser = await findEndUser(context, endUserRef);
    if (!endUser?.contacts.some(({ type }) => type === contactType)) checks.refuse(new NotFoundError('contact', ['contactType']));
  };
  return (await checks.thenMake(() => mutate(context, make, `${contactType}: ${jti}`), [findContact])).link;
}

function isVerified(contact: Contact): contact is Contact & { readonly email: string } {
  return contact.emailVerified && contact.email !== null;
}

interface Signer {
  readonly host: string;
  readonly credential: CredentialRecord;
}

/**
 * Finds the signer for an end user: the given connection, or the only one that can sign. A connection that belongs to no end user is preferred.
 * If there is one for Zendesk, those of the end user are not even searched: an end user can make as many as it likes, and must not decide
 * where its sign-in leads.
 *
 * @throws NotFoundError, ValidationError, SSONotConfiguredError
 */
async function findSigner(context: DomainContext, endUser: EndUserRecord, ref: ConnectionRef | null | undefined): Promise<Signer> {
  const { store } = context;
  if (ref) {
    const connection = await findConnection(context, ref);
    const isUsable =
      connection?.integrationId === endUser.integrationId && (connection.endUserId === null || connection.endUserId === endUser.id);
    if (!isUsable) throw new NotFoundError('connection', ['connection']);
    const ids = connection.actionCredentials.map(({ credentialId }) => credentialId);
    const signer = signerOf(connection, shown(context, 'credential', await store.credentials.byIds(ids)));
    if (typeof signer === 'string') throw new SSONotConfiguredError(signer);
    return signer;
  }
  let missing: SSOMissing | undefined;
  for (const endUserId of [null, endUser.id]) {
    const found = (await signersFor(context, endUser.integrationId, endUserId)).filter((signer) => signer !== 'ALLOWED_DOMAIN');
    const [signer, ...others] = found.filter((each) => typeof each !== 'string');
    if (others.length > 0) throw mustBeNamed('several connections can sign');
    if (signer) return signer;
    const unmet = found.filter((each) => typeof each === 'string');
    missing ??= unmet[0];
    // A connection to Zendesk whose key is among the trigger credentials is for something else.
    if (unmet.some((each) => each !== 'CREDENTIAL')) break;
  }
  throw new SSONotConfiguredError(missing ?? 'CONNECTION');
}

/** Finds the connections of one owner with a credential that could sign. Reads the credentials first, because there are few. */
async function signersFor(
  { store, kinds }: DomainContext,
  integrationId: string,
  endUserId: string | null,
): Promise<(Signer | SSOMissing)[]> {
  // A connection of an end user can also have credentials that belong to no end user.
  const owners = endUserId === null ? null : [null, endUserId];
  const kind = signingKinds.filter((each) => kinds.find(each));
  const credentials = await store.credentials.page({ integrationId, endUserId: owners, kind }, candidates);
  if (credentials.records.length === 0) return [];
  const credentialIds = credentials.records.map(({ id }) => id);
  const connections = await store.connections.page({ integrationId, endUserId, credentialIds }, candidates);
  if (credentials.hasMore || connections.hasMore) throw mustBeNamed('there are too many candidates');
  return connections.records.map((connection) => signerOf(connection, credentials.records));
}

/** Returns the first action credential of a connection that can sign, or the unmet requirement. */
function signerOf(connection: ConnectionRecord, credentials: readonly CredentialRecord[]): Signer | SSOMissing {
  const host = connection.allowedDomain?.toLowerCase() ?? '';
  if (!zendeskHost.test(host)) return 'ALLOWED_DOMAIN';
  const bound = connection.actionCredentials.flatMap(({ credentialId }) => credentials.filter(({ id }) => id === credentialId));
  const keys = bound.filter(({ kind }) => signingKinds.includes(kind));
  if (keys.length === 0) return 'CREDENTIAL';
  const enabled = keys.filter((credential) => credential.enabled);
  if (enabled.length === 0) return 'ENABLED_CREDENTIAL';
  const able = enabled.filter(({ settings, secrets }) => settings.algorithm === 'HS256' && secrets.secret);
  if (able.length === 0) return 'HS256';
  const use: CredentialUse = { purpose: 'SSO_SIGNING', host, narrowedTo: connection.allowedDomain };
  const credential = able.find((each) => forbiddenUse(each, use) === null);
  if (credential) return { host, credential };
  return able.some((each) => forbiddenUse(each, use) === 'DOMAIN') ? 'CREDENTIAL_ALLOWED_DOMAINS' : 'CREDENTIAL_PURPOSE';
}

function mustBeNamed(why: string): ValidationError {
  return new ValidationError([{ path: ['connection'], message: `must name the connection to sign with: ${why}` }]);
}

/** Returns the encoding of the secret in credentials of this kind. */
function encodingOf(kind: CredentialKind): 'utf8' | 'base64' {
  const field = kind.fields.secret!;
  return 'format' in field && field.format === 'base64' ? 'base64' : 'utf8';
}
