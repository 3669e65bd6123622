import { type Noun, nounTable } from '../access/nouns.ts';
import type { Scope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { ForbiddenError, NotFoundError, TimeoutError } from '../errors.ts';
import type { BaseRecord, Filter, RecordStore } from '../store/records.ts';
import { findAPIKey } from './api-key.ts';
import { type CredentialsToDelete, unusedCredentials } from './connection.ts';
import type { DomainContext } from './context.ts';
import { findCredential } from './credential.ts';
import { usesOfCredential } from './deletion.ts';
import { type EventNoun, eventNouns } from './events.ts';
import { COUNT_MAX, type Count } from './reading.ts';
import { findConnection, findConnector, findEndUser, findIntegration } from './references.ts';
import { findWebhook } from './webhook.ts';

/** How many objects of a noun a deletion deletes or changes besides its own object. */
export interface DeletionEffect {
  readonly noun: EventNoun;
  readonly effect: 'DELETED' | 'CHANGED';
  readonly count: Count;
}

/** What a deletion would do. */
export interface DeletePreview {
  /** Whether it is refused without `force`. */
  readonly needsForce: boolean;
  readonly effects: readonly DeletionEffect[];
}

/** A part of what a deletion does: of which noun, and how many. */
interface Part {
  readonly noun: EventNoun;
  readonly effect: DeletionEffect['effect'];
  /** Whether such objects prevent a deletion without `force`. */
  readonly prevents: boolean;
  /** Whether the deletion needs a scope for them. */
  readonly needsScope: boolean;
  readonly count: () => Promise<Count>;
}

/**
 * Returns what the deletion of an object with `force` would also delete and change. It changes nothing. It needs the scopes that the deletion
 * needs.
 *
 * @throws NotFoundError when there is no such object; ForbiddenError; TimeoutError when counting takes too long
 */
export async function previewDeletion(
  context: DomainContext,
  { noun, id }: { readonly noun: Noun; readonly id: string },
  deleteCredentials: CredentialsToDelete,
): Promise<DeletePreview> {
  if (!isDeletable(noun)) throw new NotFoundError('object', ['objectId']);
  const needed: Scope = `${nounTable[noun].plural}.delete`;
  if (!may(context.viewer, needed)) throw new ForbiddenError(needed);
  const parts = await partsOf(context, noun, id, deleteCredentials);
  if (!parts) throw new NotFoundError(nounTable[noun].label, ['objectId']);
  const counted: (Part & { readonly counted: Count })[] = [];
  for (const part of parts) counted.push({ ...part, counted: await part.count() });
  const effects = counted.filter(({ counted: { count } }) => count > 0);
  for (const { noun: other, effect, needsScope } of effects) {
    const scope = `${nounTable[other].plural}.${effect === 'DELETED' ? 'delete' : 'patch'}` as Scope;
    if (needsScope && !may(context.viewer, scope)) throw new ForbiddenError(scope);
  }
  return {
    needsForce: effects.some(({ prevents }) => prevents),
    effects: effects.map(({ noun: other, effect, counted: count }) => ({ noun: other, effect, count })),
  };
}

function isDeletable(noun: Noun): noun is EventNoun {
  return (eventNouns as readonly Noun[]).includes(noun);
}

/** Returns the parts of a deletion. Null if there is no such object. */
async function partsOf(
  context: DomainContext,
  noun: EventNoun,
  id: string,
  deleteCredentials: CredentialsToDelete,
): Promise<Part[] | null> {
  const { store } = context;
  const part = <R extends BaseRecord>(of: EventNoun, records: RecordStore<R>, filter: Filter<R>, more: Partial<Part> = {}): Part => ({
    noun: of,
    effect: 'DELETED',
    prevents: true,
    needsScope: true,
    async count() {
      const [count] = await records.counts([filter], COUNT_MAX);
      if (!count) throw new TimeoutError();
      return count;
    },
    ...more,
  });
  const changed = { effect: 'CHANGED', needsScope: true } as const;
  const along = { prevents: false, needsScope: false } as const;
  /** The end users whose primary connection is among some. */
  const primaryOf = (ids: readonly string[]) =>
    ids.length === 0 ? [] : [part('endUser', store.endUsers, { primaryConnectionId: ids } as never, { ...along, effect: 'CHANGED' })];
  switch (noun) {
    case 'integration': {
      if (!(await findIntegration(context, { id }, 'evenAltered'))) return null;
      const contents = { integrationId: id };
      return [
        part('connection', store.connections, contents),
        part('credential', store.credentials, contents),
        part('endUser', store.endUsers, contents),
        part('connector', store.connectors, contents),
        part('apiKey', store.apiKeys, contents, along),
        part('webhook', store.webhooks, contents, along),
      ];
    }
    case 'connector': {
      if (!(await findConnector(context, { id }, 'evenAltered'))) return null;
      const connections = { connectorId: id };
      return [part('connection', store.connections, connections), ...primaryOf(await store.connections.ids(connections))];
    }
    case 'endUser': {
      if (!(await findEndUser(context, { id }, 'evenAltered'))) return null;
      const contents = { endUserId: id };
      return [part('connection', store.connections, contents), part('credential', store.credentials, contents)];
    }
    case 'connection': {
      const connection = await findConnection(context, { id }, 'evenAltered');
      if (!connection) return null;
      const unused = deleteCredentials === 'UNUSED' ? await unusedCredentials(context, connection, [id]) : [];
      const exactly = async () => ({ count: unused.length, isExact: true });
      return [{ ...part('credential', store.credentials, {}), prevents: false, count: exactly }, ...primaryOf([id])];
    }
    case 'credential': {
      if (!(await findCredential(context, id, 'evenAltered'))) return null;
      const uses = usesOfCredential(id);
      return [
        part('connection', store.connections, uses.connections, changed),
        part('connector', store.connectors, uses.connectors, changed),
      ];
    }
    case 'webhook':
      return (await findWebhook(context, id, 'evenAltered')) && [];
    case 'apiKey':
      return (await findAPIKey(context, id, 'evenAltered')) && [part('apiKey', store.apiKeys, { ancestors: id }, along)];
  }
}
