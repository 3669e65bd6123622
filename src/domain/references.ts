import { InvalidIntegrationError, NotFoundError, type Path } from '../errors.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { DomainContext } from './context.ts';
import { type EvenAltered, readsOf, required } from './records.ts';

/** Identifies an integration. Exactly one member is set, here and in the types below. */
export interface IntegrationRef {
  readonly id?: string;
  readonly name?: string;
}
export interface ConnectorRef {
  readonly id?: string;
  readonly inIntegration?: { readonly integration: IntegrationRef; readonly name: string };
}
export interface EndUserRef {
  readonly id?: string;
  readonly inIntegration?: { readonly integration: IntegrationRef; readonly externalId: string };
}
export interface ConnectionRef {
  readonly id?: string;
  readonly inConnector?: { readonly connector: ConnectorRef } & NameOfConnection;
  /** For a connection without a connector. */
  readonly inIntegration?: { readonly integration: IntegrationRef } & NameOfConnection;
}
interface NameOfConnection {
  readonly name: string;
  /** The owner. If absent or null, an end user itself means its own connections, and everybody else means those of no end user. */
  readonly endUser?: EndUserRef | null;
}

/**
 * Returns the forms in which a name can be stored: in normalization form C, or, by an earlier version, as it was sent. Almost all names have one
 * form only.
 */
export function formsOf(name: string): string | readonly string[] {
  const forms = [...new Set([name.normalize('NFC'), name, name.normalize('NFD')])];
  return forms.length === 1 ? name : forms;
}

/** @throws AlteredRecordError, like the functions below, unless the last argument says otherwise */
export async function findIntegration(
  { store }: DomainContext,
  ref: IntegrationRef,
  altered?: EvenAltered,
): Promise<IntegrationRecord | null> {
  return readsOf(store.integrations, altered).one(ref.id === undefined ? { name: formsOf(ref.name!) } : { id: ref.id });
}

export async function findConnector(
  context: DomainContext,
  { id, inIntegration }: ConnectorRef,
  altered?: EvenAltered,
): Promise<ConnectorRecord | null> {
  const connectors = readsOf(context.store.connectors, altered);
  if (!inIntegration) return connectors.one({ id: id! });
  const integration = await findIntegration(context, inIntegration.integration, altered);
  return integration && connectors.one({ integrationId: integration.id, name: formsOf(inIntegration.name) });
}

export async function findEndUser(
  context: DomainContext,
  { id, inIntegration }: EndUserRef,
  altered?: EvenAltered,
): Promise<EndUserRecord | null> {
  const endUsers = readsOf(context.store.endUsers, altered);
  if (!inIntegration) return endUsers.one({ id: id! });
  const integration = await findIntegration(context, inIntegration.integration, altered);
  return integration && endUsers.one({ integrationId: integration.id, externalId: inIntegration.externalId });
}

export async function findConnection(context: DomainContext, ref: ConnectionRef, altered?: EvenAltered): Promise<ConnectionRecord | null> {
  const connections = readsOf(context.store.connections, altered);
  if (ref.id !== undefined) return connections.one({ id: ref.id });
  const named = (ref.inConnector ?? ref.inIntegration)!;
  const owner =
    'connector' in named
      ? await findConnector(context, named.connector, altered)
      : await findIntegration(context, named.integration, altered);
  if (!owner) return null;
  const ownId = context.viewer.confinedTo?.endUserId;
  const meant = named.endUser ?? (ownId === undefined ? null : { id: ownId });
  const endUser = meant && (await findEndUser(context, meant, altered));
  if (meant && !endUser) return null;
  return connections.one({ ownerId: owner.id, endUserId: endUser?.id ?? null, name: formsOf(named.name) });
}

/** @throws InvalidIntegrationError, AlteredRecordError */
export async function requireIntegration(
  context: DomainContext,
  ref: IntegrationRef,
  path: Path,
  altered?: EvenAltered,
): Promise<IntegrationRecord> {
  const integration = await findIntegration(context, ref, altered);
  if (!integration) throw new InvalidIntegrationError(path);
  return integration;
}

/** @throws NotFoundError, AlteredRecordError */
export async function requireConnector(
  context: DomainContext,
  ref: ConnectorRef,
  path: Path,
  altered?: EvenAltered,
): Promise<ConnectorRecord> {
  return required(await findConnector(context, ref, altered), new NotFoundError('connector', path));
}

/** @throws NotFoundError, AlteredRecordError */
export async function requireEndUser(context: DomainContext, ref: EndUserRef, path: Path, altered?: EvenAltered): Promise<EndUserRecord> {
  return required(await findEndUser(context, ref, altered), new NotFoundError('end user', path));
}

/**
 * Returns the end user that a new record belongs to, or null. The end user must belong to the given integration. If the viewer is limited to
 * one end user, that one is the default.
 *
 * @throws NotFoundError
 */
export async function requireOwner(
  context: DomainContext,
  ref: EndUserRef | null | undefined,
  { id: integrationId }: IntegrationRecord,
  path: Path,
): Promise<EndUserRecord | null> {
  const ownId = context.viewer.confinedTo?.endUserId;
  const meant = ref ?? (ownId === undefined ? null : { id: ownId });
  if (!meant) return null;
  const endUser = await requireEndUser(context, meant, path);
  if (endUser.integrationId !== integrationId) throw new NotFoundError('end user', path);
  return endUser;
}

/** @throws NotFoundError, AlteredRecordError */
export async function requireConnection(
  context: DomainContext,
  ref: ConnectionRef,
  path: Path,
  altered?: EvenAltered,
): Promise<ConnectionRecord> {
  return required(await findConnection(context, ref, altered), new NotFoundError('connection', path));
}
