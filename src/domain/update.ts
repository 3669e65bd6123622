import type { BaseRecord, RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';

/**
 * Writes changes to a record that was read in the same transaction, and gives back what it is then.
 * @throws ConflictError when the record has another version by now
 */
export async function updateRecord<R extends BaseRecord>(
  { viewer, now }: DomainContext,
  records: Pick<RecordStore<R>, 'update'>,
  record: R,
  changes: Partial<Omit<R, keyof BaseRecord>>,
  updatedAt: Date = now(),
): Promise<R> {
  await records.update(viewer.organizationId, record.id, record.version, changes, updatedAt);
  return { ...record, ...changes, version: record.version + 1, updatedAt };
}
