import { type Noun, nounTable } from '../access/nouns.ts';
import { readScope, type Scope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { ForbiddenError, InUseError, type Usage } from '../errors.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { BaseRecord, Filter, PageRequest, RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';
import { type MutationContext, recordAlso } from './mutate.ts';
import { COUNT_MAX } from './reading.ts';

/** The member `force` of a deletion's input: whether to delete a record that is in use or not empty, with everything that depends on it. */
export interface Forceable {
  readonly force?: boolean | null;
}

const USAGES_SHOWN = 10;
const oldestFirst: PageRequest = { limit: USAGES_SHOWN, sortField: 'createdAt', descending: false };

/** The objects that use another one: a filter for each noun. */
export interface Uses {
  readonly connectors?: Filter<ConnectorRecord>;
  readonly endUsers?: Filter<EndUserRecord>;
  readonly connections?: Filter<ConnectionRecord>;
  readonly credentials?: Filter<CredentialRecord>;
}

/** Returns what uses a credential: what prevents its deletion, and what the field `usages` shows. */
export function usesOfCredential(id: string) {
  return { connectors: { credentialIds: id }, connections: { credentialIds: id } } satisfies Uses;
}

/** @throws InUseError when the object is in use, with the first usages that the viewer may see and the number of all */
export async function refuseIfInUse({ viewer, store }: DomainContext, noun: string, uses: Uses): Promise<void> {
  const usages: Usage[] = [];
  let usageCount = 0;
  async function look<R extends BaseRecord>(user: Noun, records: RecordStore<R>, filter: Filter<R> | undefined): Promise<void> {
    if (!filter) return;
    const page = await records.evenAltered.page(filter, oldestFirst);
    if (page.records.length === 0) return;
    const [counted] = page.hasMore ? await records.counts([filter], COUNT_MAX) : [{ count: page.records.length }];
    usageCount += counted?.count ?? COUNT_MAX;
    if (may(viewer, readScope(user))) usages.push(...page.records.map((record) => ({ noun: user, id: record.id, name: nameOf(record) })));
  }
  await look('connector', store.connectors, uses.connectors);
  await look('endUser', store.endUsers, uses.endUsers);
  await look('connection', store.connections, uses.connections);
  await look('credential', store.credentials, uses.credentials);
  if (usageCount > 0) throw new InUseError(noun, usages.slice(0, USAGES_SHOWN), usageCount);
}

/** Records that a deletion changes or deletes besides its own object. */
export interface Cascade {
  readonly noun: 'connector' | 'endUser' | 'connection' | 'credential';
  readonly verb: 'patch' | 'delete';
  readonly ids: readonly string[];
}

/**
 * Requires the scopes for what a deletion also changes or deletes, and writes an audit entry for each of these records. A scope is required only
 * if there is such a record: an end user can never have `connectors.patch`, and no connector uses its credentials. Call it before the changes, in
 * the same transaction.
 *
 * @throws ForbiddenError
 */
export async function recordCascades(
  context: MutationContext,
  object: { readonly noun: Noun; readonly id: string },
  cascades: readonly Cascade[],
): Promise<void> {
  for (const { noun, verb, ids } of cascades) {
    const scope: Scope = `${nounTable[noun].plural}.${verb}`;
    if (ids.length > 0 && !may(context.viewer, scope)) throw new ForbiddenError(scope);
  }
  for (const { noun, verb, ids } of cascades) {
    await recordAlso(context, { action: `${verb === 'patch' ? 'update' : 'delete'}${nounTable[noun].typeName}`, noun, ids }, object);
  }
}

function nameOf(record: object): string {
  if ('name' in record) return String(record.name);
  return 'displayName' in record ? String(record.displayName) : '';
}
