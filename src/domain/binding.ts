import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import type { Binding } from '../store/connection.ts';
import { credentialsOf, withoutCredential } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { shown } from './reading.ts';
import { updateRecord } from './records.ts';

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
  for (const { id, path } of named) {
    const credential = found.get(id);
    if (credential?.integrationId !== owner.integrationId) throw new NotFoundError('credential', path);
    if (credential.endUserId !== null && credential.endUserId !== owner.endUserId) {
      const message = owner.endUserId === null ? 'must not be the credential of an end user' : 'belongs to another end user';
      throw new ValidationError([{ path, message }]);
    }
  }
  for (const id of ids) await store.credentials.touch(id);
  return ids;
}

/** Removes a credential that is being deleted from all connections and from the auth schemes of all connectors. */
export async function forgetCredential(context: DomainContext, credentialId: string): Promise<void> {
  const { store } = context;
  const users = { credentialIds: credentialId };
  for (const id of await store.connections.ids(users)) {
    const connection = (await store.connections.evenAltered.one({ id }))!;
    // Whatever it says must not get a valid MAC. It is not used, so it may keep naming the credential.
    if (connection.isAltered) continue;
    const bindings = {
      actionCredentials: forget(connection.actionCredentials, credentialId),
      triggerCredentials: forget(connection.triggerCredentials, credentialId),
    };
    await updateRecord(context, store.connections, connection, { ...bindings, credentialIds: namedCredentials(bindings) });
  }
  for (const id of await store.connectors.ids(users)) {
    const connector = (await store.connectors.evenAltered.one({ id }))!;
    if (connector.isAltered) continue;
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
