import type { Noun } from '../../access/scopes.ts';
import type { BaseRecord } from '../../domain/reading.ts';
import type { OutputBuilder } from './builder.ts';
import { encodeId } from './global-id.ts';

/** Returns the fields that every record has, for the type of one noun. */
export function recordFields(noun: Noun) {
  return <R extends BaseRecord>(t: OutputBuilder<R>) => ({
    id: t.id({ description: 'The global id; never changes.', resolve: ({ id }) => encodeId(noun, id) }),
    version: t.int({
      description: '1 after creation, incremented by each change.',
      resolve: ({ version }) => version,
    }),
    createdAt: t.field({ type: 'DateTime', description: 'The time of creation.', resolve: ({ createdAt }) => createdAt }),
    updatedAt: t.field({ type: 'DateTime', description: 'The time of the last change.', resolve: ({ updatedAt }) => updatedAt }),
  });
}

/** The sort fields that the lists of most nouns have. */
export const recordSortFields = {
  CREATED_AT: { field: 'createdAt', description: 'The time of creation.' },
  UPDATED_AT: { field: 'updatedAt', description: 'The time of the last change.' },
  NAME: { field: 'name', description: 'The name, by code points.' },
} as const;
