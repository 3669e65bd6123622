import type { Noun } from '../../access/scopes.ts';
import type { BaseRecord } from '../../domain/reading.ts';
import type { OutputBuilder } from './builder.ts';
import { encodeId } from './global-id.ts';

/** The fields that every record has, for the type of one noun. */
export function recordFields(noun: Noun) {
  return <R extends BaseRecord>(t: OutputBuilder<R>) => ({
    id: t.id({ description: 'The global id. Opaque and stable: it outlives renames.', resolve: ({ id }) => encodeId(noun, id) }),
    version: t.int({
      description: '1 when created, one more with each change. Give it as `expectedVersion` to change only what you have read.',
      resolve: ({ version }) => version,
    }),
    createdAt: t.field({ type: 'DateTime', description: 'When it was created.', resolve: ({ createdAt }) => createdAt }),
    updatedAt: t.field({ type: 'DateTime', description: 'When it was last changed.', resolve: ({ updatedAt }) => updatedAt }),
  });
}

/** What the lists of every noun that changes can be sorted by. */
export const recordSortFields = {
  CREATED_AT: { field: 'createdAt', description: 'When it was created.' },
  UPDATED_AT: { field: 'updatedAt', description: 'When it was last changed.' },
  NAME: { field: 'name', description: 'Its name, by code points.' },
} as const;
