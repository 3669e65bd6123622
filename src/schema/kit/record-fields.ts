import type { Noun } from '../../access/scopes.ts';
import type { BaseRecord } from '../../domain/reading.ts';
import { actorType } from './actor.ts';
import type { Builder, OutputBuilder } from './builder.ts';
import { encodeId } from './global-id.ts';
import { shared } from './shared.ts';

/** The states of a stored record. */
const integrityOf = shared((builder: Builder) =>
  builder.enumType('Integrity', {
    description: 'Whether a stored object is as the gateway wrote it.',
    values: {
      INTACT: { description: 'The gateway wrote it.' },
      ALTERED: {
        description:
          'It was inserted or changed, but not by the gateway. Its fields show what is stored, and nothing proves it. It can be deleted, but neither used nor changed.',
      },
    } as const,
  }),
);

/** Returns the fields that every record has, for the type of one noun. */
export function recordFields(noun: Noun, builder: Builder) {
  return <R extends BaseRecord>(t: OutputBuilder<R>) => ({
    id: t.id({ description: 'The global id; never changes.', resolve: ({ id }) => encodeId(noun, id) }),
    version: t.int({
      description: '1 after creation, incremented by each change.',
      resolve: ({ version }) => version,
    }),
    createdAt: t.field({ type: 'DateTime', description: 'The time of creation.', resolve: ({ createdAt }) => createdAt }),
    createdBy: t.field({
      type: actorType(builder),
      nullable: true,
      description: 'Who created it. Null if it was created before this was recorded.',
      resolve: ({ createdBy }) => createdBy,
    }),
    integrity: t.field({
      type: integrityOf(builder),
      description: 'Whether the stored object is as the gateway wrote it.',
      resolve: ({ isAltered }) => (isAltered ? ('ALTERED' as const) : ('INTACT' as const)),
    }),
    updatedAt: t.field({ type: 'DateTime', description: 'The time of the last change.', resolve: ({ updatedAt }) => updatedAt }),
    updatedBy: t.field({
      type: actorType(builder),
      nullable: true,
      description:
        'Who changed it last or, if nobody has, who created it. If the change was a consequence of another one, as when a credential of a connection is deleted, it is the viewer who asked for the other one. Null if that was before this was recorded.',
      resolve: ({ updatedBy }) => updatedBy,
    }),
  });
}

/** The sort fields that the lists of most nouns have. */
export const recordSortFields = {
  CREATED_AT: { field: 'createdAt', description: 'The time of creation.' },
  UPDATED_AT: { field: 'updatedAt', description: 'The time of the last change.' },
  NAME: { field: 'name', description: 'The name, by code points.' },
} as const;
