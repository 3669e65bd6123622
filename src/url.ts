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
