import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import { hostOfUrl } from '../fields/hosts.ts';
import type { Binding } from '../store/connection.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { BaseRecord, Filter, RecordStore } from '../store/records.ts';
import { credentialsOf, type OAuth2Settings, withoutCredential } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { allowsHost } from './credential-use.ts';
import { usesOfCredential } from './deletion.ts';
import { shown } from './reading.ts';
import { updateRecord } from './records.ts';
import type { Checks } from './validation.ts';

interface Bindings {
  readonly actionCredentials: readonly Binding[];
  readonly triggerCredentials: readonly Binding[];
}

/** Returns the ids of all credentials that a connection's bindings and their auth schemes refer to, each once. */
export function namedCredentials({ actionCredentials, triggerCredentials }: Bindings): string[] {
  const all = [...actionCredentials, ...triggerCredentials];
  return [...new Set(all.flatMap(({ credentialId, authScheme }) => [credentialId, ...credentialsOf(authScheme)]))].sort();
}

/**
 * Writes every given credential, so that none can be deleted at the same time. Returns their ids, each once.
 * @throws NotFoundError, ValidationError when one belongs to an end user who is not the owner
 */
export async function holdCredentials(
  context: DomainContext,
  owner: { readonly integrationId: string; readonly endUserId: string | null },
  named: readonly { readonly id: string; readonly path: Path }[],
): Promise<string[]> {
  const { store } = context;
  const ids = [...new Set(named.map(({ id }) => id))].sort();
  if (ids.length === 0) return [];
  const found = new Map(shown(context, 'credential', await store.credentials.byIds(ids)).map((credential) => [credential.id, credential]));
  for (const each of named) refuseUnusable(found.get(each.id), owner, each.path);
  for (const id of ids) await store.credentials.touch(id);
  return ids;
}

/** @throws NotFoundError, ValidationError when the credential belongs to another integration, or to an end user who is not the owner */
export function refuseUnusable(
  credential: CredentialRecord | undefined,
  owner: { readonly integrationId: string; readonly endUserId: string | null },
  path: Path,
): asserts credential is CredentialRecord {
  if (credential?.integrationId !== owner.integrationId) throw new NotFoundError('credential', path);
  if (credential.endUserId !== null && credential.endUserId !== owner.endUserId) {
    const message = owner.endUserId === null ? 'must not be the credential of an end user' : 'belongs to another end user';
    throw new ValidationError([{ path, message }]);
  }
}

/** The id of a credential in an input, and its path. */
export interface NamedCredential {
  readonly id: string;
  readonly path: Path;
}

/** Adds an error for each credential that does not exist in the integration; undefined if the integration is not known. Changes nothing. */
export async function refuseUnknownCredentials(
  context: DomainContext,
  integrationId: string | undefined,
  named: readonly NamedCredential[],
  checks: Checks,
): Promise<void> {
  const records = await context.store.credentials.byIds([...new Set(named.map(({ id }) => id))]);
  const found = shown(context, 'credential', records).filter((each) => integrationId === undefined || each.integrationId === integrationId);
  for (const { id, path } of named) {
    if (!found.some((credential) => credential.id === id)) checks.refuse(new NotFoundError('credential', path));
  }
}

/** A credential, the URL or host that it would be sent to or sign for, and the place in the input that says so. */
export interface Destination {
  readonly credentialId: string;
  readonly host: string | undefined;
  readonly path: Path;
}

/**
 * Refuses a destination that the credential does not allow, so that a mistake shows at once. It protects nothing: the credential can change
 * later, and `forbiddenUse` decides at each use. So it accepts a credential without allowed domains, a host that is not known yet, and
 * whatever was there before: somebody else’s change must not prevent this one. `read` returns the credentials with these ids.
 *
 * @throws ValidationError
 */
export async function refuseForbiddenDestinations(
  { store }: DomainContext,
  destinations: readonly Destination[],
  before: readonly Omit<Destination, 'path'>[] = [],
  read: (ids: readonly string[]) => Promise<readonly CredentialRecord[]> = (ids) => store.credentials.byIds(ids),
): Promise<void> {
  const keyOf = ({ credentialId, host }: Omit<Destination, 'path'>) => `${credentialId} ${host}`;
  const known = new Set(before.map(keyOf));
  const added = destinations.filter((destination) => destination.host !== undefined && !known.has(keyOf(destination)));
  if (added.length === 0) return;
  const credentials = await read([...new Set(added.map(({ credentialId }) => credentialId))]);
  const issues = added.flatMap(({ credentialId, host, path }) => {
    const credential = credentials.find(({ id }) => id === credentialId);
    const isForbidden = credential?.allowedDomains?.length && !allowsHost(credential, host!);
    return isForbidden ? [{ path, message: 'leads to a host that the allowed domains of the credential do not include' }] : [];
  });
  if (issues.length > 0) throw new ValidationError(issues);
}

/** Returns where the credentials of an OAuth 2.0 scheme are sent: the client and its certificate to the token endpoint. */
export function destinationsOf(scheme: AuthScheme | null, path: Path): Destination[] {
  const { tokenUrl } = (scheme?.settings ?? {}) as Partial<OAuth2Settings>;
  const host = tokenUrl === undefined ? undefined : hostOfUrl(tokenUrl);
  return credentialsOf(scheme).map((credentialId) => ({ credentialId, host, path: [...path, 'oauth2', 'tokenUrl'] }));
}

/**
 * Removes a credential that is being deleted from all connections and from the auth schemes of all connectors. `before` is called with the ids of
 * those that it will change.
 */
export async function forgetCredential(
  context: DomainContext,
  credentialId: string,
  before: (changed: { readonly connections: readonly string[]; readonly connectors: readonly string[] }) => Promise<void>,
): Promise<void> {
  const { store } = context;
  const uses = usesOfCredential(credentialId);
  // Whatever an altered record says must not get a valid MAC. It is not used, so it may keep naming the credential.
  const read = async <R extends BaseRecord>(records: RecordStore<R>, filter: Filter<R>) => {
    const found: R[] = [];
    for (const id of await records.ids(filter)) {
      const record = await records.evenAltered.one({ id } as Filter<R>);
      if (record && !record.isAltered) found.push(record);
    }
    return found;
  };
  const connections = await read(store.connections, uses.connections);
  const connectors = await read(store.connectors, uses.connectors);
  await before({ connections: connections.map(({ id }) => id), connectors: connectors.map(({ id }) => id) });
  for (const connection of connections) {
    const bindings = {
      actionCredentials: forget(connection.actionCredentials, credentialId),
      triggerCredentials: forget(connection.triggerCredentials, credentialId),
    };
    await updateRecord(context, store.connections, connection, { ...bindings, credentialIds: namedCredentials(bindings) });
  }
  for (const connector of connectors) {
    const authSchemes = connector.authSchemes.map((scheme) => withoutCredential(scheme, credentialId));
    const credentialIds = connector.credentialIds.filter((other) => other !== credentialId);
    await updateRecord(context, store.connectors, connector, { authSchemes, credentialIds });
  }
}

function forget(bindings: readonly Binding[], credentialId: string): Binding[] {
  return bindings
    .filter((binding) => binding.credentialId !== credentialId)
    .map(({ authScheme, ...binding }) => ({ ...binding, authScheme: withoutCredential(authScheme, credentialId) }));
}
