import { nounName, parseId } from '../../access/global-id.ts';
import type { Noun } from '../../access/nouns.ts';
import { type Path, ValidationError } from '../../errors.ts';

export { encodeId, nounName, parseId } from '../../access/global-id.ts';

/** Returns the record's id. @throws ValidationError when the global id is malformed, or of another noun */
export function decodeId(noun: Noun, globalId: string, path: Path): string {
  const parsed = parseId(globalId);
  if (parsed?.noun !== noun)
    throw new ValidationError([{ path, message: `must be the id of ${/^[aeio]/.test(noun) ? 'an' : 'a'} ${nounName(noun)}` }]);
  return parsed.id;
}
