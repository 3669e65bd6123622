import { createHash } from 'node:crypto';
import { type Noun, nouns, nounTable } from '../../access/nouns.ts';
import type { Viewer } from '../../access/viewer.ts';
import { type Path, ValidationError } from '../../errors.ts';

/** Returns the noun's name in global ids. All credential kinds share one. */
export function nounName(noun: Noun): string {
  return nounTable[noun].typeName;
}

const nounsByName = new Map(nouns.map((noun) => [nounName(noun), noun]));

/** Returns the global id, which is unique among all objects: base64url of the noun and the record's id. */
export function encodeId(noun: Noun, id: string): string {
  return Buffer.from(`${nounName(noun)}:${id}`).toString('base64url');
}

/** The name of the type of viewers, which are no records, in their global ids. */
export const VIEWER = 'Viewer';

/** Returns the global id of a viewer. A viewer is no record, so the id is a hash of what identifies it, in the form of other ids. */
export function viewerId({ organizationId, kind, subject }: Pick<Viewer, 'organizationId' | 'kind' | 'subject'>): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([organizationId, kind, subject]))
    .digest('hex');
  return Buffer.from(`${VIEWER}:${hash.slice(0, 24)}`).toString('base64url');
}

/** Parses a global id. Returns undefined when it is malformed. Does not check whether the object exists. */
export function parseId(globalId: string): { readonly noun: Noun; readonly id: string } | undefined {
  const [, name, id] = /^([A-Za-z]+):([0-9a-f]{24})$/.exec(Buffer.from(globalId, 'base64url').toString()) ?? [];
  const noun = name && nounsByName.get(name);
  return noun && id ? { noun, id } : undefined;
}

/** Returns the record's id. @throws ValidationError when the global id is malformed, or of another noun */
export function decodeId(noun: Noun, globalId: string, path: Path): string {
  const parsed = parseId(globalId);
  if (parsed?.noun !== noun)
    throw new ValidationError([{ path, message: `must be the id of ${/^[aeio]/.test(noun) ? 'an' : 'a'} ${nounName(noun)}` }]);
  return parsed.id;
}
