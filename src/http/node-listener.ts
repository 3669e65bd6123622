import type { IncomingMessage, RequestListener } from 'node:http';
import type { ErrorCode } from '../errors.ts';

/**
 * The gateway for `node:http`. A request whose Host and path make no URL is refused here: yoga's adapter would throw before any plugin is
 * asked, and answer with the stack.
 */
export function nodeListener(listener: RequestListener): RequestListener {
  return (request, response) => {
    if (hasUrl(request)) return listener(request, response);
    const code: ErrorCode = 'BAD_REQUEST';
    response.writeHead(400, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', connection: 'close' });
    response.end(JSON.stringify({ errors: [{ message: 'The request’s Host and path are not those of a URL.', extensions: { code } }] }));
  };
}

function hasUrl({ headers, url }: IncomingMessage): boolean {
  // The adapter puts the two together like this, whichever form the request line has.
  return URL.canParse(`http://${headers.host || 'localhost'}${url}`);
}
