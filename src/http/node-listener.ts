import type { IncomingMessage, RequestListener } from 'node:http';
import { responseHeaders } from '../response-headers.ts';
import { parsedUrl } from '../url.ts';
import { refusalBody } from './refusal.ts';

/**
 * The request listener for `node:http`. It rejects a request whose Host and path do not form a URL: yoga's adapter would throw before any
 * plugin runs, and respond with the stack trace.
 */
export function nodeListener(listener: RequestListener): RequestListener {
  return (request, response) => {
    if (hasUrl(request)) return listener(request, response);
    response.writeHead(400, { ...responseHeaders, 'content-type': 'application/json; charset=utf-8', connection: 'close' });
    response.end(refusalBody({ code: 'BAD_REQUEST', message: 'The Host and path of the request do not form a valid URL.' }));
  };
}

function hasUrl({ headers, url }: IncomingMessage): boolean {
  // The adapter concatenates the two in this way, whatever the form of the request line.
  return parsedUrl(`http://${headers.host || 'localhost'}${url}`) !== undefined;
}
