import { type Path, ValidationError } from '../errors.ts';

const MAX_LENGTH = 2_048;
/** The characters of a URI (RFC 3986, section 2). A backslash, which browsers read as a slash, is none, nor is white space. */
const uriCharacters = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
/** Percent signs that begin no escape, and escapes of what a later decoding would take for structure: controls, `%`, `.`, `/`, `\`. */
const badEscapes = /%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-F]|7F|25|2E|2F|5C)/i;
/** Controls, marks of direction, line separators. */
const invisible = /[\p{C}\p{Zl}\p{Zp}]/u;
/** Zendesk's own pages for signing in and out: one of them with another token would sign somebody else in. */
const signingPages = ['access', 'auth'];

/**
 * Where a browser goes once it is signed in: a path, or an absolute URL on the account's own host. What is allowed is narrow, for whoever
 * redirects may decode, trim or normalise once more than is known here.
 *
 * @throws ValidationError when it could lead elsewhere
 */
export function checkReturnTo(returnTo: string, host: string, path: Path): string {
  const refuse = (message: string) => new ValidationError([{ path, message }]);
  if (returnTo.length === 0 || returnTo.length > MAX_LENGTH) throw refuse(`must have 1 to ${MAX_LENGTH} characters`);
  if (!uriCharacters.test(returnTo)) throw refuse('must have no character that is not allowed in a URL, such as a space or a backslash');
  if (badEscapes.test(returnTo)) throw refuse('must have no escaped slash, backslash, dot, percent sign or control character');

  const origin = `https://${host}`;
  const isAbsolute = returnTo.toLowerCase().startsWith(origin);
  const rest = isAbsolute ? returnTo.slice(origin.length) : returnTo;
  // After the host nothing may follow that would make it another: a port, a longer name, an @.
  if (!(isAbsolute ? /^(?:[/?#]|$)/ : /^\//).test(rest)) {
    throw refuse('must be a path that begins with one slash, or an https URL on the Zendesk account’s own host without a port');
  }
  const [plainPath] = rest.split(/[?#]/) as [string];
  const [, first = '', ...others] = plainPath.split('/');
  if ([first, ...others].some((segment) => segment === '.' || segment === '..')) throw refuse('must have no segments . and ..');

  const decoded = decode(rest);
  if (decoded === undefined || invisible.test(decoded)) throw refuse('must have no escapes that are not UTF-8 text');
  // Of Unicode's slashes, too, which a later normalisation may take for this one.
  if (/\/\/|\\/.test(decoded.normalize('NFKC'))) throw refuse('must have no two slashes in a row beyond those after https:');
  if (signingPages.includes(decode(first)!.toLowerCase())) throw refuse('must not lead back to signing in or out');

  // The same once more by the rules that browsers have.
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
