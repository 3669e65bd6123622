// What a text shows to a person. Names and ids that look equal must be equal, and a name must be visible.

/**
 * The sequences in which an invisible character has a meaning: emoji; the style of a pictograph; variants of ideographs; joiners in scripts that
 * need them (Unicode Standard, section 23.2). They do not hide anything.
 */
const meaningful = new RegExp(
  [
    '\\p{RGI_Emoji}',
    '\\p{Extended_Pictographic}[\\ufe0e\\ufe0f]',
    '\\p{sc=Han}[\\ufe00-\\ufe02\\u{e0100}-\\u{e01ef}]',
    `(?<=[${['Arab', 'Beng', 'Deva', 'Gujr', 'Guru', 'Khmr', 'Knda', 'Mlym', 'Mong', 'Mymr', 'Nkoo', 'Orya', 'Sinh', 'Syrc', 'Taml', 'Telu']
      .map((script) => `\\p{scx=${script}}`)
      .join('')}])[\\u200c\\u200d](?=\\p{L})`,
  ].join('|'),
  'gv',
);
/** Characters that show nothing: format characters, default-ignorable ones such as Hangul fillers, and the blank of braille. */
const invisible = /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800]/u;
const controls = /[\p{Cc}\p{Zl}\p{Zp}]/u;
/** Control characters except tabs and line breaks, and those that change the direction of other text (UAX #9, sections 2.2 and 2.3). */
const proseControls = /[^\P{Cc}\t\r\n]|[\u202a-\u202e]/u;

/** Whether a text is one line that can be read, without white space at its ends. */
export function isVisibleLine(text: string): boolean {
  if (controls.test(text) || /^\p{White_Space}|\p{White_Space}$/u.test(text)) return false;
  const rest = text.replace(meaningful, 'x');
  // A mark needs a character that it marks.
  return !invisible.test(rest) && !/^\p{M}/u.test(rest);
}

/** Whether a text of several lines has no control characters that hide or reorder a part of it, and shows something, unless it is empty. */
export function isProse(text: string): boolean {
  if (proseControls.test(text)) return false;
  return text === '' || /[^\p{White_Space}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cc}\u2800]/u.test(text);
}
