import { z } from 'zod';
import { type Noun, nouns } from '../../access/scopes.ts';
import type { PageStart } from '../../domain/reading.ts';
import { type Path, ValidationError } from '../../errors.ts';

/** The lists that have records of several nouns. */
const mixedLists = ['credentialUsage'] as const;

const cursorForm = z.tuple([
  z.enum([...nouns, ...mixedLists]),
  z.string(),
  z.union([z.tuple([z.literal('date'), z.iso.datetime()]), z.tuple([z.literal('text'), z.string().max(1_024)])]),
  z.hex().length(24),
]);

/** The list that a cursor belongs to: the records of one noun, or a list with records of several, sorted by one field. */
export interface CursorList {
  readonly noun: Noun | (typeof mixedLists)[number];
  readonly sortField: string;
}

/** Encodes a record's position in a list as text. It is opaque to callers and contains no secret. */
export function encodeCursor(record: object, { noun, sortField }: CursorList): string {
  const { id, [sortField]: value } = record as Record<string, unknown> & { id: string };
  const typed = value instanceof Date ? ['date', value.toISOString()] : ['text', value];
  return Buffer.from(JSON.stringify([noun, sortField, typed, id])).toString('base64url');
}

/** Decodes a cursor. @throws ValidationError when it is not a cursor of a list of this noun and sort field */
export function decodeCursor(cursor: string, list: CursorList, path: Path): PageStart {
  const parsed = cursorForm.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString()));
  const [noun, sortField, [type, value], id] = parsed.data ?? [undefined, '', ['text', ''], ''];
  if (noun !== list.noun || sortField !== list.sortField || (type === 'date') !== /At$/.test(sortField)) {
    throw new ValidationError([{ path, message: 'must be a cursor of the same list, with the same sort field' }]);
  }
  return { value: type === 'date' ? new Date(value) : value, id };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
