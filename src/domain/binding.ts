import type { Binding } from '../store/connection.ts';
import { credentialsOf, withoutCredential } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { updateRecord } from './update.ts';

interface Bindings {
  readonly actionCredentials: readonly Binding[];
  readonly triggerCredentials: readonly Binding[];
}

/** Every credential that a connection's bindings and their auth schemes name, once. */
export function namedCredentials({ actionCredentials, triggerCredentials }: Bindings): string[] {
  const all = [...actionCredentials, ...triggerCredentials];
  return [...new Set(all.flatMap(({ credentialId, authScheme }) => [credentialId, ...credentialsOf(authScheme)]))].sort();
}

/** Takes a credential, which is being deleted, out of every connection and every connector's auth schemes. */
export async function forgetCredential(context: DomainContext, credentialId: string): Promise<void> {
  const { store, viewer } = context;
  const { organizationId } = viewer;
  const users = { credentialIds: credentialId };
  for (const id of await store.connections.ids(organizationId, users)) {
    const connection = (await store.connections.one(organizationId, { id }))!;
    const bindings = {
      actionCredentials: forget(connection.actionCredentials, credentialId),
      triggerCredentials: forget(connection.triggerCredentials, credentialId),
    };
    await updateRecord(context, store.connections, connection, { ...bindings, credentialIds: namedCredentials(bindings) });
  }
  for (const id of await store.connectors.ids(organizationId, users)) {
    const connector = (await store.connectors.one(organizationId, { id }))!;
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
