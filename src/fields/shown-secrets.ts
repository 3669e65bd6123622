// Finds secrets where they must not be, and masks where a secret must be. All functions look at one text, and keep nothing of it.

/** The characters that front ends show in the place of a secret: asterisks, bullets and dots. */
const MASK_CHARACTERS = '*＊﹡∗⁎⁕✱✲✳★☆•‣·⋅∙‧・･●⚫⬤○◦◉⦁■▪◾█▮.…․‥．。';
const maskOnly = new RegExp(`^[${MASK_CHARACTERS}]+$`, 'u');
/** The words that programs print in the place of a secret, such as `[redacted]`. */
const maskWord = /^[[<({]?(?:redacted|masked|hidden|filtered|secret|secrethidden|hiddensecret)[\])>}]?$/i;
const MASK_WORD_LENGTH = 32;
/** White space, quotes and invisible characters around and between the characters of a mask. */
const maskPadding = /[\p{Z}\p{C}"'`]|\ufe0e|\ufe0f/gu;
/** One asterisk or a dot is a usual value within an object, such as a wildcard. Three are a mask. */
const PART_MASK_LENGTH = 3;

/** Whether a whole text is a mask, such as `Secret.redacted`, and so no secret. A text that contains other characters is none. */
export function isMask(text: string): boolean {
  const compact = text.replace(maskPadding, '');
  return maskOnly.test(compact) || (compact.length <= MASK_WORD_LENGTH && maskWord.test(compact) && /^[^A-Za-z]/.test(compact));
}

/** The same for a value within an object, or for a text that is not secret: a mask has at least three characters there. */
export function isMaskPart(text: string): boolean {
  return isMask(text) && text.replace(maskPadding, '').length >= PART_MASK_LENGTH;
}

/** Whether a text has nothing that can be seen. */
export function isBlank(text: string): boolean {
  return /^[\p{Z}\p{C}\p{Default_Ignorable_Code_Point}\u2800]*$/u.test(text);
}

/** The beginnings by which issuers make their tokens recognizable. */
const knownToken = new RegExp(
  `^(?:${[
    'gh[pousr]_\\w{3}',
    'github_pat_\\w{3}',
    'gl(?:pat|dt|rt|cbt|ptt|oas)-[\\w-]{3}',
    'xox[a-z](?:\\.xox[a-z])?-\\w',
    'xapp-\\d',
    '[rs]k_(?:live|test)_\\w{3}',
    'whsec_\\w{3}',
    '(?:AKIA|ASIA)[0-9A-Z]{8}',
    'AIza[\\w-]{10}',
    'ya29\\.[\\w-]{5}',
    '1//0[\\w-]{10}',
    'eyJ[\\w-]{5}',
    'SG\\.[\\w-]{3}',
    'key-[0-9a-f]{20}',
    'npm_\\w{10}',
    'pypi-\\w{10}',
    'do[oprt]_v1_\\w{5}',
    'shp(?:at|ca|pa|ss|ua)_\\w{5}',
    'sk-(?:ant-|proj-)?\\w{20}',
    'hf_\\w{20}',
    'sq0(?:atp|csp|idp)-\\w{3}',
    'pat-(?:na|eu)\\d-\\w{5}',
    'ATATT3\\w{5}',
    'PMAK-\\w{5}',
    'dapi[0-9a-f]{16}',
    'lin_api_\\w{5}',
    'secret_\\w{20}',
    'hv[sbr]\\.\\w{5}',
    'bot\\d{6,}:[\\w-]{10}',
  ].join('|')})`,
);

/** What is copied along with a token: white space, invisible characters, quotes, and the word before it in a header. */
const beforeToken = /^[\p{Z}\p{C}"'`]*(?:(?:bearer|token|basic)\s+)?/iu;

/** Whether a text begins as the tokens of a known issuer do, such as `ghp_` and `eyJ`. */
export function isKnownToken(text: string): boolean {
  return knownToken.test(text.replace(beforeToken, ''));
}

/** Ends of names, in lower case without separators, whose values are secret. */
const secretNameEnd =
  /(?:token|secret|password|passwd|passphrase|apikey|accesskey|secretkey|privatekey|signature|credentials?|jwt|authorization)$/;
/** The last words of names whose values are secret. */
const secretNameWord = /^(?:key|pwd|pass|pw|sig|sas|auth|bearer|assertion)$/;
/** What `key` is not secret after, such as in `sort_key`. */
const publicKeyWord = /^(?:public|sort|partition|primary|foreign)$/;
const secretCode = /^(?:auth|authorization|oauth|access|device)?code$/;

/** Whether the value of a parameter of this name is usually secret: `access_token`, `apiKey`, `sig`. */
function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);
  const [last = '', before = ''] = words.toReversed();
  if (last === 'key' && publicKeyWord.test(before)) return false;
  return secretNameEnd.test(words.join('')) || secretNameWord.test(last) || secretCode.test(words.join(''));
}

/** Placeholders for a value that is put in later: `{apiKey}`, `${KEY}`, `<token>`, `:token`, `*`. */
const template = /^(?:\$?\{.*\}|<.*>|:\w+|\*+)$/;
/** URL schemes whose user name is no secret, and usual. */
const sshScheme = /^(?:git\+)?(?:ssh|sftp|scp)$/i;
/** Scheme, authority, path, query and fragment (RFC 3986, appendix B). `jdbc:` and the like may stand before the scheme. */
const urlParts = /^(?:[a-z]{2,10}:){0,3}?([a-z][a-z0-9+.-]*):[/\\]+([^/\\?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is;
/** A part of `Server=a;Password=b` (ADO, ODBC, Azure). */
const pairBySemicolon = /^[\s\w.-]+=/;
/** `host=a password=b` (libpq). */
const pairsBySpace = /^\s*\w+\s*=\s*(?:'[^']*'|[^\s']+)(?:\s+\w+\s*=\s*(?:'[^']*'|[^\s']+))+\s*$/;
const pairBySpace = /\w+\s*=\s*(?:'[^']*'|[^\s']+)/g;
/** `ada:s3cret@tcp(db.example.com)/app` and `ada:s3cret@db.example.com:5432`. */
const userBeforeHost = /^[^\s:@/]+:[^\s@]+@(?:(?:tcp|unix)\(|[\w.-]+:\d+(?:\/|$))/i;

/**
 * Whether a whole text is a URL or a connection string that contains a secret: user information (RFC 3986, section 3.2.1), a parameter whose
 * name says that its value is secret, or a token of a known form. Everyone who can read the field would read it.
 */
export function showsSecret(text: string): boolean {
  return textShowsSecret(text, 0);
}

/** How many URLs within URLs are looked into. */
const URL_DEPTH = 3;

function textShowsSecret(text: string, depth: number): boolean {
  const trimmed = text.replace(/^[\p{Z}\p{C}]+/u, '').trim();
  const url = urlParts.exec(trimmed);
  if (url) return urlShowsSecret(url, depth);
  if (userBeforeHost.test(trimmed)) return true;
  return pairsIn(trimmed).some((pair) => pairShowsSecret(pair, depth));
}

/** The pairs of a connection string. None if the text is something else, such as a sentence. */
function pairsIn(text: string): string[] {
  const pairs = text.split(';').filter((pair) => pair.trim() !== '');
  if (pairs.length > 1 && pairs.every((pair) => pairBySemicolon.test(pair))) return pairs;
  return pairsBySpace.test(text) ? (text.match(pairBySpace) ?? []) : [];
}

function urlShowsSecret([, scheme = '', authority = '', path = '', query = '', fragment = '']: RegExpExecArray, depth: number): boolean {
  const user = authority.includes('@') ? authority.slice(0, authority.lastIndexOf('@')) : undefined;
  if (user !== undefined && (!sshScheme.test(scheme) || user.includes(':') || isKnownToken(decoded(user)))) return true;
  if (path.split(/[/\\;]/).some((segment) => isKnownToken(decoded(segment)))) return true;
  const pairs = [...query.split(/[&;]/), ...[authority, path].flatMap((part) => part.split(';').slice(1)), ...fragment.split(/[&?;]/)];
  return pairs.some((pair) => pairShowsSecret(pair, depth));
}

function pairShowsSecret(pair: string, depth: number): boolean {
  const [name = '', ...rest] = pair.split('=');
  const value = decoded(rest.join('=')).trim();
  return (
    showsSecretPair(decoded(name).trim(), value) ||
    isKnownToken(decoded(name)) ||
    (depth < URL_DEPTH && value.includes('://') && textShowsSecret(value, depth + 1))
  );
}

/** Whether a named value is a secret, by its name or by its form. A placeholder such as `{apiKey}` is none. */
export function showsSecretPair(name: string, value: string): boolean {
  if (value === '' || template.test(value)) return false;
  return isSecretName(name) || isKnownToken(value);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
