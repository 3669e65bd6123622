import { type Noun, readScope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { InUseError, type Usage } from '../errors.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { BaseRecord, Filter, PageRequest, RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';
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

/** @throws InUseError when the object is in use, with the first usages that the viewer may see and the number of all */
export async function refuseIfInUse({ viewer, store }: DomainContext, noun: string, uses: Uses): Promise<void> {
  const usages: Usage[] = [];
  let usageCount = 0;
  async function look<R extends BaseRecord>(user: Noun, records: RecordStore<R>, filter: Filter<R> | undefined): Promise<void> {
    if (!filter) return;
    const page = await records.evenAltered.page(filter, oldestFirst);
    if (page.records.length === 0) return;
    const [count] = page.hasMore ? await records.counts([filter], COUNT_MAX) : [page.records.length];
    usageCount += count ?? COUNT_MAX;
    if (may(viewer, readScope(user))) usages.push(...page.records.map((record) => ({ noun: user, id: record.id, name: nameOf(record) })));
  }
  await look('connector', store.connectors, uses.connectors);
  await look('endUser', store.endUsers, uses.endUsers);
  await look('connection', store.connections, uses.connections);
  await look('credential', store.credentials, uses.credentials);
  if (usageCount > 0) throw new InUseError(noun, usages.slice(0, USAGES_SHOWN), usageCount);
}

function nameOf(record: object): string {
  if ('name' in record) return String(record.name);
  return 'displayName' in record ? String(record.displayName) : '';
}
