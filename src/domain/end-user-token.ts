import { randomUUID } from 'node:crypto';
import { confinedScopes } from '../access/scopes.ts';
import type { Viewer } from '../access/viewer.ts';
import { UnauthenticatedError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import { integer } from '../fields/field.ts';
import type { Redacted } from '../redacted.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { GatewayContext } from './context.ts';
import { checkGrantable } from './grant.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { type EndUserRef, requireEndUser } from './references.ts';
import { Checks } from './validation.ts';

/** The lifetime of a token. */
export const tokenLifetime = integer({
  optional: true,
  default: 15 * 60,
  min: 60,
  max: 60 * 60,
  description: 'The lifetime of the token in seconds.',
});

export interface EndUserTokenRequest {
  readonly endUser: EndUserRef;
  /** By default, all scopes that an end user can have. */
  readonly scopes?: readonly string[] | null;
  readonly lifetimeSeconds?: number | null;
}

/** A token that authenticates the browser of an end user. */
export interface EndUserToken {
  readonly endUser: EndUserRecord;
  readonly token: Redacted;
  readonly scopes: readonly string[];
  readonly expiresAt: Date;
}

/**
 * Creates a token for an end user. The scope of this function is enough to grant everything that an end user can have, whatever else the viewer
 * has.
 *
 * @throws ValidationError, NotFoundError
 */
export async function createEndUserToken(context: MutationContext, request: EndUserTokenRequest): Promise<EndUserToken> {
  const { store, now } = context;
  const { endUser: endUserRef, scopes: wanted, ...given } = request;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput({ lifetimeSeconds: tokenLifetime }, given));
  const grantable = await checks.run(() => checkGrantable(wanted ?? confinedScopes.endUser, confinedScopes.endUser, ['scopes']));
  const jti = randomUUID();
  const issue = async () => {
    const [seconds, scopes] = [valid!.lifetimeSeconds, grantable!];
    const endUser = await requireEndUser(context, endUserRef, ['endUser']);
    // To the second, as the token tells it.
    const issuedAt = new Date(Math.floor(now().getTime() / 1_000) * 1_000);
    const expiresAt = new Date(issuedAt.getTime() + seconds * 1_000);
    const claims = { integrationId: endUser.integrationId, endUserId: endUser.id, scopes, jti };
    const token = await store.endUserTokens.sign(claims, issuedAt, expiresAt);
    return { id: endUser.id, endUser, token, scopes, expiresAt };
  };
  return checks.thenMake(() => mutate(context, issue, jti), [() => requireEndUser(context, endUserRef, ['endUser'])]);
}

/** Returns the viewer of an end user's token. @throws UnauthenticatedError */
export async function authenticateEndUser(
  { stores, now, revocations }: GatewayContext,
  { organizationId, keyId, token }: { readonly organizationId: string; readonly keyId: string; readonly token: Redacted },
): Promise<Viewer> {
  const claims = await stores.of(organizationId).endUserTokens.verify(keyId, token, now());
  if (!claims) throw new UnauthenticatedError('The end user’s token was not issued by this gateway, or has expired.');
  const { integrationId, endUserId, scopes, issuedAt } = claims;
  const confinedTo = { integrationId, endUserId };
  const viewer = { organizationId, kind: 'endUser', subject: endUserId, scopes: new Set(scopes), issuedAt, confinedTo } as const;
  revocations.refuseRevoked(viewer);
  return viewer;
}
