import { AlteredRecordError, type GatewayError, type Issue, NotFoundError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import type { InputOf, ValuesOf } from '../fields/field.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { BaseRecord, Filter, RecordStore } from '../store/records.ts';
import { refuseUnusable } from './binding.ts';
import { connectionFields } from './connection.ts';
import { type BindingLists, type Entry, type List, namedIn, prepareLists } from './connection-entries.ts';
import { isAboutItem } from './import.ts';
import type { MutationContext } from './mutate.ts';
import { shown } from './reading.ts';
import { type ConnectorRef, type EndUserRef, formsOf, type IntegrationRef } from './references.ts';
import { Checks } from './validation.ts';

/** One connection of an import, or the only one of an upsert: what is given, and the records that it refers to. Its paths begin in itself. */

/** A connection to import. Its name, with its connector and its end user, decides which existing connection it is. */
export type ImportedConnection = InputOf<typeof connectionFields> &
  BindingLists & { readonly connector?: ConnectorRef | null; readonly endUser?: EndUserRef | null };

/** What is asked for one connection. */
export interface GivenItem {
  readonly given: ImportedConnection;
  /** The ids in it that no record can have. */
  readonly malformed: readonly Issue[];
  /** The version that an existing connection must have; 0 if there must be none. */
  readonly expectedVersion?: number | null | undefined;
  /** The lists that an existing connection keeps as they are. */
  readonly kept?: readonly List[] | undefined;
}

/** An item that was checked as far as this needs no transaction. */
export interface Item extends GivenItem {
  /** What is wrong with it, so that it cannot be imported. The rest is then only there to find out what else is wrong. */
  readonly error: GatewayError | undefined;
  readonly checked: ValuesOf<typeof connectionFields> | undefined;
  readonly entries: Partial<Record<List, readonly Entry[]>>;
}

/** The connector and the end user of an item, which with its name decide which connection it is. */
export interface Owners {
  readonly connector: ConnectorRecord | null;
  readonly endUser: EndUserRecord | null;
}

/** Checks an item as far as this needs no transaction. */
export async function prepareItem(context: MutationContext, item: GivenItem): Promise<Item> {
  const { given, malformed } = item;
  const { connector: _, endUser: __, actionCredentials, triggerCredentials, ...fields } = given;
  const checks = new Checks({ malformed });
  const checked = await checks.run(() => checkInput(connectionFields, fields));
  const entries = await prepareLists(context, { actionCredentials, triggerCredentials }, checks);
  return { ...item, checked, entries: entries ?? {}, error: await errorOf(() => checks.end()) };
}

/** Returns the error of an item. Throws errors that are not about the item. */
export async function errorOf(run: () => unknown): Promise<GatewayError | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (isAboutItem(error)) return error;
    throw error;
  }
}

/** The records that some items refer to, read with few commands. */
export interface Directory {
  readonly integration: IntegrationRecord;
  /** @throws NotFoundError, AlteredRecordError */
  readonly connectorOf: (ref: ConnectorRef) => ConnectorRecord;
  /** @throws NotFoundError, AlteredRecordError */
  readonly endUserOf: (ref: EndUserRef) => EndUserRecord;
  readonly credentials: ReadonlyMap<string, CredentialRecord>;
}

export async function directoryOf(
  context: MutationContext,
  integration: IntegrationRecord,
  given: readonly ImportedConnection[],
): Promise<Directory> {
  const { store, viewer } = context;
  const ownId = viewer.confinedTo?.endUserId;
  const connectorRefs = given.flatMap(({ connector }) => connector ?? []);
  const endUserRefs: EndUserRef[] = [...given.flatMap(({ endUser }) => endUser ?? []), ...(ownId === undefined ? [] : [{ id: ownId }])];
  /** A record of another integration cannot be used, whether it exists or not. So nothing is read in others. */
  const isHere = ({ id, name }: IntegrationRef) =>
    id === undefined ? textsOf(formsOf(name!)).includes(integration.name) : id === integration.id;
  const within = { integrationId: integration.id };

  const connectors = [
    ...(await readIds(
      store.connectors,
      connectorRefs.flatMap(({ id }) => id ?? []),
    )),
    ...(await readAll(store.connectors, {
      ...within,
      name: connectorRefs.flatMap(({ inIntegration: named }) => (named && isHere(named.integration) ? textsOf(formsOf(named.name)) : [])),
    })),
  ];
  const endUsers = [
    ...(await readIds(
      store.endUsers,
      endUserRefs.flatMap(({ id }) => id ?? []),
    )),
    ...(await readAll(store.endUsers, {
      ...within,
      externalId: endUserRefs.flatMap(({ inIntegration: named }) => (named && isHere(named.integration) ? named.externalId : [])),
    })),
  ];
  const connectorsById = new Map(connectors.map((record) => [record.id, record]));
  const connectorsByName = new Map(connectors.map((record) => [record.name, record]));
  const endUsersById = new Map(endUsers.map((record) => [record.id, record]));
  const endUsersByExternalId = new Map(endUsers.map((record) => [record.externalId, record]));
  const credentials = await readIds(
    store.credentials,
    given.flatMap((item) => namedIn(item).map(({ id }) => id)),
  );
  return {
    integration,
    connectorOf({ id, inIntegration }) {
      const names = inIntegration && isHere(inIntegration.integration) ? textsOf(formsOf(inIntegration.name)) : [];
      const record = inIntegration ? names.map((name) => connectorsByName.get(name)).find(Boolean) : connectorsById.get(id!);
      return usable(record, integration, 'connector');
    },
    endUserOf({ id, inIntegration }) {
      const isKnown = inIntegration && isHere(inIntegration.integration);
      const record = inIntegration ? isKnown && endUsersByExternalId.get(inIntegration.externalId) : endUsersById.get(id!);
      return usable(record || undefined, integration, 'endUser', 'end user');
    },
    credentials: new Map(shown(context, 'credential', credentials).map((record) => [record.id, record])),
  };
}

/** Returns the record, if it is in the integration. @throws NotFoundError, AlteredRecordError */
function usable<R extends ConnectorRecord | EndUserRecord>(
  record: R | undefined,
  { id }: IntegrationRecord,
  member: 'connector' | 'endUser',
  label: string = member,
): R {
  if (record?.isAltered) throw new AlteredRecordError(label);
  if (record?.integrationId !== id) throw new NotFoundError(label, [member]);
  return record;
}

export const textsOf = (forms: string | readonly string[]): readonly string[] => (typeof forms === 'string' ? [forms] : forms);

export async function readIds<R extends BaseRecord>(records: RecordStore<R>, ids: readonly string[]): Promise<R[]> {
  return ids.length === 0 ? [] : records.evenAltered.byIds([...new Set(ids)]);
}

/** Reads the records that match, unless a list of the filter is empty. */
async function readAll<R extends BaseRecord>(
  records: RecordStore<R>,
  filter: Readonly<Record<string, string | readonly string[]>>,
): Promise<R[]> {
  const isEmpty = Object.values(filter).some((value) => value.length === 0);
  return isEmpty ? [] : records.evenAltered.all(filter as Filter<R>);
}

/** Finds the records that an item refers to. Whatever is wrong goes to the checks. */
export async function findReferences(
  { viewer }: MutationContext,
  { integration, connectorOf, endUserOf, credentials }: Directory,
  given: ImportedConnection,
  checks: Checks,
): Promise<Owners> {
  const ownId = viewer.confinedTo?.endUserId;
  const meant = given.endUser ?? (ownId === undefined ? null : { id: ownId });
  const connector = (given.connector && (await checks.run(() => connectorOf(given.connector!)))) ?? null;
  const endUser = (meant && (await checks.run(() => endUserOf(meant)))) ?? null;
  const owner = { integrationId: integration.id, endUserId: endUser?.id ?? null };
  for (const { id, path } of namedIn(given)) {
    await checks.run(() => {
      const credential = credentials.get(id);
      if (credential?.isAltered) throw new AlteredRecordError('credential');
      // Whose it may be is only known with the end user.
      if (meant && !endUser) return refuseUnusable(credential && { ...credential, endUserId: null }, owner, path);
      return refuseUnusable(credential, owner, path);
    });
  }
  return { connector, endUser };
}

/** Finds the connector and the end user of an item. */
export async function findOwners(context: MutationContext, directory: Directory, given: ImportedConnection): Promise<Owners> {
  const checks = new Checks();
  const found = await findReferences(context, directory, { ...given, actionCredentials: null, triggerCredentials: null }, checks);
  checks.end();
  return found;
}

/** Returns what decides which connection an item is. */
export function keyOf(integration: IntegrationRecord, { checked }: Item, { connector, endUser }: Owners): string {
  return naturalKey(connector?.id ?? integration.id, endUser?.id ?? null, checked!.name);
}

export function naturalKey(ownerId: string, endUserId: string | null, name: string): string {
  return `${ownerId} ${endUserId} ${name.normalize('NFC')}`;
}
