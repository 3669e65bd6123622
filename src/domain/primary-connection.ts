import type { Noun } from '../access/nouns.ts';
import { type Path, ValidationError } from '../errors.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import { type MutationContext, recordAlso } from './mutate.ts';
import { updateRecord } from './records.ts';
import { type ConnectionRef, requireConnection } from './references.ts';

/**
 * Returns the id of a connection that becomes the primary one of an end user, and writes the connection, so that it cannot be deleted at the same
 * time. It must be a connection of this end user: a shared one could be the primary one of every end user, and deleting it would have to
 * change them all in one transaction.
 *
 * @throws NotFoundError, ValidationError, AlteredRecordError
 */
export async function holdPrimary(context: MutationContext, endUser: EndUserRecord, ref: ConnectionRef, path: Path): Promise<string> {
  const { id, endUserId } = await requireConnection(context, ref, path);
  if (endUserId !== endUser.id) throw new ValidationError([{ path, message: 'must be a connection of the end user' }]);
  await context.store.connections.touch(id);
  return id;
}

/** Removes connections that are being deleted from the end users whose primary connection they are. Writes an audit entry for each end user. */
export async function forgetPrimary(
  context: MutationContext,
  connectionIds: readonly string[],
  cause: { readonly noun: Noun; readonly id: string },
): Promise<void> {
  if (connectionIds.length === 0) return;
  const { endUsers } = context.store;
  // Whatever an altered record says must not get a valid MAC.
  const found = (await endUsers.evenAltered.all({ primaryConnectionId: connectionIds })).filter(({ isAltered }) => !isAltered);
  await recordAlso(context, { action: 'updateEndUser', noun: 'endUser', ids: found.map(({ id }) => id) }, cause);
  for (const endUser of found) await updateRecord(context, endUsers, endUser, { primaryConnectionId: null });
}
