/**
 * Whether a URL parser accepts the text (WHATWG URL). Not by `URL.canParse`: in Node 20, it refuses texts with characters such as `ü` once it was called
 * some thousand times and V8 has optimized the call.
 */
export function isParsableUrl(text: string): boolean {
  try {
    new URL(text);
    return true;
  } catch {
    return false;
  }
}
