import { createHash } from 'node:crypto';
import { nounName, parseId } from '../../access/global-id.ts';
import type { Noun } from '../../access/nouns.ts';
import type { Viewer } from '../../access/viewer.ts';
import { type Path, ValidationError } from '../../errors.ts';

export { encodeId, nounName, parseId } from '../../access/global-id.ts';

/** The name of the type of viewers, which are no records, in their global ids. */
export const VIEWER = 'Viewer';

/** Returns the global id of a viewer. A viewer is no record, so the id is a hash of what identifies it, in the form of other ids. */
export function viewerId({ organizationId, kind, subject }: Pick<Viewer, 'organizationId' | 'kind' | 'subject'>): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([organizationId, kind, subject]))
    .digest('hex');
  return Buffer.from(`${VIEWER}:${hash.slice(0, 24)}`).toString('base64url');
}

/** Returns the record's id. @throws ValidationError when the global id is malformed, or of another noun */
export function decodeId(noun: Noun, globalId: string, path: Path): string {
  const parsed = parseId(globalId);
  if (parsed?.noun !== noun)
    throw new ValidationError([{ path, message: `must be the id of ${/^[aeio]/.test(noun) ? 'an' : 'a'} ${nounName(noun)}` }]);
  return parsed.id;
}
