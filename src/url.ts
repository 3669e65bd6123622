/**
 * Parses a URL (WHATWG URL), or a reference relative to `base`. Returns undefined when the text is none. Not by `URL.canParse`: in Node 20, it refuses
 * texts with characters such as `ü` once it was called some thousand times and V8 has optimized the call.
 */
export function parsedUrl(text: string, base?: URL): URL | undefined {
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}

/** The path, below the URL of the gateway, to which OAuth 2.0 services redirect browsers. */
export const OAUTH_CALLBACK_PATH = '/oauth/callback';

/** How often a path may be encoded. Every time costs as much as the path is long. */
const DECODINGS_MAX = 4;

/**
 * Returns whether a path, with a query or without, is below where it begins, however often a server decodes it, and whether it takes a backslash for a
 * slash or not. An encoded slash alone is a part of a name, as in the paths of GitLab.
 */
export function staysBelow(pathAndQuery: string): boolean {
  if (!/^(?:[/?][\x21-\x7e]*)?$/.test(pathAndQuery) || pathAndQuery.includes('#')) return false;
  const path = pathAndQuery.replace(/\?.*$/, '');
  if (/\\|%(?![0-9a-f]{2})|^\/\//i.test(path)) return false;
  let text = path;
  for (let round = 0; round <= DECODINGS_MAX; round++) {
    const segments = text.split(/[/\\]/).map((segment) => segment.replace(/;.*$/s, ''));
    if (segments.some((segment) => segment === '.' || segment === '..') || text.includes('\0')) return false;
    const decoded = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (decoded === text) return true;
    text = decoded;
  }
  return false;
}
