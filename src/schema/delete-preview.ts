import { type CredentialsToDelete, credentialsToDelete } from '../domain/connection.ts';
import { type DeletePreview, type DeletionEffect, previewDeletion } from '../domain/delete-preview.ts';
import { NotFoundError } from '../errors.ts';
import { eventObjectType } from './event.ts';
import { describedBy } from './kit/closed-sets.ts';
import type { CostExtensions } from './kit/cost.ts';
import { parseId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** The enum of what a deletion of a connection does with its credentials. */
export const credentialsToDeleteType = shared(({ builder }: Kit) =>
  builder.enumType('DeletedCredentials', {
    description: 'Which credentials a deletion of a connection also deletes.',
    values: describedBy<CredentialsToDelete>(credentialsToDelete),
  }),
);

/** Adds the query for what a deletion would take along. */
export function addDeletePreview(kit: Kit): void {
  const { builder, pages } = kit;
  const kind = builder.enumType('DeletionEffectKind', {
    description: 'What a deletion does to other objects.',
    values: {
      DELETED: { description: 'They are deleted, too.' },
      CHANGED: { description: 'They do not refer to the object any more.' },
    } as const,
  });
  const effect = builder.objectRef<DeletionEffect>('DeletionEffect').implement({
    description: 'What a deletion does to the other objects of one type.',
    fields: (t) => ({
      objectType: t.field({ type: eventObjectType(kit), description: 'The type of the objects.', resolve: ({ noun }) => noun }),
      effect: t.field({ type: kind, description: 'What happens to them.', resolve: (source) => source.effect }),
      count: t.int({
        description: 'The number of these objects: exact up to 10,000, see `countPrecision`.',
        resolve: ({ count }) => count.count,
      }),
      countPrecision: t.field({
        type: pages.countPrecision,
        description: 'Whether the count is exact.',
        resolve: ({ count }) => (count.isExact ? ('EXACT' as const) : ('AT_LEAST' as const)),
      }),
    }),
  });
  const preview = builder.objectRef<DeletePreview>('DeletePreview').implement({
    description: 'What the deletion of an object with `force` would do besides.',
    fields: (t) => ({
      needsForce: t.exposeBoolean('needsForce', { description: 'Whether the deletion is refused without `force`, with `IN_USE`.' }),
      effects: t.field({
        type: [effect],
        description: 'What it would delete and change, by type. Types of which there is nothing are left out.',
        resolve: ({ effects }) => effects,
      }),
    }),
  });
  builder.queryField('deletePreview', (t) =>
    t.field({
      type: preview,
      nullable: true,
      description:
        'Tells what the deletion of an object with `force` would delete and change besides, with counts. It changes nothing, and says what is so now. Scope: depends on the noun in the id, as for the deletion, such as `connectors.delete`, and `connections.delete` if it would delete any.',
      extensions: { cost: { own: 50 } } satisfies CostExtensions,
      args: {
        objectId: t.arg.id({ required: true, description: 'The global id of an object that can be deleted.' }),
        deleteCredentials: t.arg({
          type: credentialsToDeleteType(kit),
          defaultValue: 'NONE',
          description: 'As for `deleteConnection`. Other deletions do not have it.',
        }),
      },
      resolve(_root, { objectId, deleteCredentials }, context) {
        const parsed = parseId(String(objectId));
        if (!parsed) throw new NotFoundError('object', ['objectId']);
        return previewDeletion(context, parsed, deleteCredentials ?? 'NONE');
      },
    }),
  );
}
