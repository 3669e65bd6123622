import { type Path, ValidationError } from '../errors.ts';

const MAX_LENGTH = 2_048;
/** The characters of a URI (RFC 3986, section 2). Excludes white space, and the backslash, which browsers treat as a slash. */
const uriCharacters = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
/** Percent signs without a valid escape, and escapes that would be structural after another decoding: controls, `%`, `.`, `/`, `\`. */
const badEscapes = /%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-F]|7F|25|2E|2F|5C)/i;
/** Control characters, direction marks and line separators. */
const invisible = /[\p{C}\p{Zl}\p{Zp}]/u;
/** Zendesk's pages for signing in and out. With another token, they would sign in another user. */
const signingPages = ['access', 'auth'];

/**
 * Checks the page to open after a sign-in: a path, or an absolute URL on the account's own host. The rules are strict, because software that
 * redirects can decode, trim or normalize the value once more.
 *
 * @throws ValidationError when it could lead to another host
 */
export function checkReturnTo(returnTo: string, host: string, path: Path): string {
  const refuse = (message: string) => new ValidationError([{ path, message }]);
  if (returnTo.length === 0 || returnTo.length > MAX_LENGTH) throw refuse(`must have 1 to ${MAX_LENGTH} characters`);
  if (!uriCharacters.test(returnTo))
    throw refuse('must not contain characters that are not allowed in a URL, such as a space or a backslash');
  if (badEscapes.test(returnTo)) throw refuse('must not contain an escaped slash, backslash, dot, percent sign or control character');

  const origin = `https://${host}`;
  const isAbsolute = returnTo.toLowerCase().startsWith(origin);
  const rest = isAbsolute ? returnTo.slice(origin.length) : returnTo;
  // The text after the host must not change the host: no port, no longer name, no @.
  if (!(isAbsolute ? /^(?:[/?#]|$)/ : /^\//).test(rest)) {
    throw refuse('must be a path that begins with one slash, or an https URL on the Zendesk account’s own host without a port');
  }
  const [plainPath] = rest.split(/[?#]/) as [string];
  const [, first = '', ...others] = plainPath.split('/');
  if ([first, ...others].some((segment) => segment === '.' || segment === '..')) throw refuse('must not contain the path segments . or ..');

  const decoded = decode(rest);
  if (decoded === undefined || invisible.test(decoded)) throw refuse('must not contain escapes that are not UTF-8 text');
  // Includes Unicode characters that normalization turns into slashes.
  if (/\/\/|\\/.test(decoded.normalize('NFKC'))) throw refuse('must not contain two slashes in a row except after https:');
  if (signingPages.includes(decode(first)!.toLowerCase())) throw refuse('must not lead to a page for signing in or out');

  // Checks the same again with the rules of browsers.
  const url = new URL(returnTo, origin);
  if (url.origin !== origin || url.username !== '' || url.password !== '') throw refuse('must stay on the Zendesk account’s own host');
  return returnTo;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
