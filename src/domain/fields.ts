import { text } from '../fields/field.ts';

/** What a name may be: 1 to 255 characters, none of them a control character. */
export const nameText = { maxLength: 255, format: 'name' } as const;

/** What a record is for, in prose. Its length is Losant's limit. */
export const descriptionField = text({
  description: 'What it is for. Null if not set.',
  optional: true,
  minLength: 0,
  maxLength: 32_767,
  format: 'any',
});

/** A URL that is shown to everybody who may read, and so holds no password. */
export const urlText = { maxLength: 2_048, format: 'url' } as const;
