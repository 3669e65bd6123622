/** The least length of a shared secret, in characters (RFC 7518, section 3.2: a key of HS256 has at least 256 bits). */
export const SECRET_MIN = 32;

/** What people type where a random secret belongs. */
const placeholderWords = [
  ...[
    '0123456789',
    '1234567890',
    '123456789',
    '12345678',
    '123456',
    '12345',
    '1234',
    'abcdefgh',
    'abcdef',
    'qwertyuiop',
    'qwerty',
    'qwertz',
  ],
  ...['changeme', 'changeit', 'change', 'replace', 'secret', 'password', 'passwd', 'passphrase', 'example', 'placeholder', 'default'],
  ...[
    'insecure',
    'secure',
    'credential',
    'gateway',
    'mongodb',
    'development',
    'production',
    'testing',
    'test',
    'master',
    'shared',
    'private',
  ],
  ...[
    'security',
    'asdfgh',
    'letmein',
    'welcome',
    'iloveyou',
    'lorem',
    'ipsum',
    'keyboard',
    'insert',
    'generate',
    'random',
    'strong',
    'dummy',
  ],
  ...[
    'sample',
    'characters',
    'bytes',
    'least',
    'string',
    'super',
    'please',
    'token',
    'value',
    'admin',
    'local',
    'only',
    'very',
    'long',
    'your',
  ],
  ...['this', 'that', 'must', 'with', 'here', 'key', 'jwt', 'the', 'not', 'for', 'dev'],
];

/** The digits and signs that people write for letters. */
const letterOf: Readonly<Record<string, string>> = { 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i' };

/** The least length of what is left of a secret without the words of placeholders. */
const REST_MIN = 24;
/** The least number of different characters of a secret. 32 random digits have fewer once in ten million times. */
const DISTINCT_CHARACTERS_MIN = 6;
/** The least number of different bytes of a key. 32 random ones have fewer once in a hundred million times. */
const DISTINCT_BYTES_MIN = 18;

/**
 * Returns why a shared secret is a placeholder, as the end of a sentence that begins with its name; undefined if it does not look like one. If it
 * is hex or base64, the same is asked of its bytes. This finds what people type or copy. It cannot find every secret that somebody could guess.
 */
export function secretPlaceholder(text: string): string | undefined {
  const reason = textPlaceholder(text);
  if (reason) return reason;
  const bytes = decoded(text);
  if (bytes.length < SECRET_MIN / 2) return undefined;
  if (isText(bytes)) return textPlaceholder(bytes.toString('latin1'));
  return isRepetitive(bytes) ? 'encodes a pattern' : undefined;
}

/** The same, for the 32 bytes of a master key. Bytes that are random text are accepted: some tools make keys in this way. */
export function keyPlaceholder(key: Uint8Array): string | undefined {
  if (isText(key)) return textPlaceholder(Buffer.from(key).toString('latin1'));
  if (new Set(key).size < DISTINCT_BYTES_MIN) return 'has too few different bytes';
  return isRepetitive(key) ? 'repeats a pattern or counts up or down' : undefined;
}

function textPlaceholder(text: string): string | undefined {
  if (new Set(text).size < DISTINCT_CHARACTERS_MIN) return 'has too few different characters';
  if (isRepetitive(Buffer.from(text))) return 'repeats a pattern or counts up or down';
  const rest = withoutWords(text);
  if (rest.hasWords && rest.length < REST_MIN) return 'consists mostly of words that placeholders contain';
  return isWords(text) ? 'consists of words' : undefined;
}

/** The bytes that hex, base64 or base64url stand for; none for any other text. */
function decoded(text: string): Buffer {
  if (/^([0-9a-f]{2})+$/i.test(text)) return Buffer.from(text, 'hex');
  return /^([A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
}

/**
 * Whether two thirds of the bytes repeat those at a fixed distance before them, or half of them differ from the one before by the same step. Of
 * random text, one in sixteen does (hex), or one in ten (digits).
 */
function isRepetitive(bytes: Uint8Array): boolean {
  const { length } = bytes;
  for (let distance = 1; distance <= length / 2; distance++) {
    let equal = 0;
    for (let at = distance; at < length; at++) if (bytes[at] === bytes[at - distance]) equal++;
    if (equal * 3 >= (length - distance) * 2) return true;
  }
  const steps = new Array<number>(256).fill(0);
  for (let at = 1; at < length; at++) steps[(bytes[at]! - bytes[at - 1]! + 256) % 256]!++;
  return Math.max(...steps) * 2 > length - 1;
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

/** How long a text is without the words of placeholders, whatever case, digits for letters and separators they are written with. */
function withoutWords(text: string): { readonly hasWords: boolean; readonly length: number } {
  const remove = (from: string) => placeholderWords.reduce((rest, word) => rest.replaceAll(word, ''), from);
  const plain = text.toLowerCase().replace(/[\s._-]+/g, '');
  // First as it is written, for sequences of digits.
  const rest = remove([...remove(plain)].map((character) => letterOf[character] ?? character).join(''));
  return { hasWords: rest.length < plain.length, length: rest.length };
}

/** Whether the text is words of one case each, with separators and without digits. No usual form of random bytes looks like that. */
function isWords(text: string): boolean {
  const words = text.split(/[\s._,;:!?'-]+/).filter(Boolean);
  return words.length > 2 && words.every((word) => /^([A-Z]?[a-z]+|[A-Z]+)$/.test(word));
}
