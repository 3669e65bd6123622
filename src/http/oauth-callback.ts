import { createHash } from 'node:crypto';
import type { CallbackEnd, CallbackParameters } from '../domain/authorization.ts';
import { type Refusal, refusalResponse } from './refusal.ts';
import type { HttpResponse, ReadableRequest } from './request.ts';

/** Handles the redirect of an OAuth 2.0 service. */
export type Callback = (
  parameters: CallbackParameters,
  from: { readonly address: string | null; readonly requestId: string },
) => Promise<CallbackEnd>;

const texts = {
  CONNECTED: [200, 'Connected', 'The service is connected. You can close this page.'],
  REFUSED: [200, 'Not connected', 'You did not give your consent, so nothing was connected. You can close this page.'],
  FAILED: [502, 'Not connected', 'The service could not be connected. Go back to the application, and try again.'],
  UNKNOWN: [400, 'Not connected', 'This link was used already, or it is too old. Go back to the application, and try again.'],
} as const satisfies Record<Extract<CallbackEnd, { page: string }>['page'], readonly [status: number, title: string, text: string]>;

const style =
  'body{font:17px/1.5 system-ui,sans-serif;max-width:32rem;margin:16vh auto 0;padding:0 1.5rem;color:#1b1f24}h1{font-size:1.6rem}';
const styleHash = createHash('sha256').update(style).digest('base64');

/** The headers of the page. Nothing but its own style applies to it. It runs no script and sends nothing. */
const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
};

function page(name: keyof typeof texts): HttpResponse {
  const [status, title, text] = texts[name];
  const body = `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${style}</style></head><body><h1>${title}</h1><p>${text}</p></body></html>\n`;
  return { status, headers: pageHeaders, body };
}

/** A HEAD request must not use up the state. */
const onlyGet: Refusal = { status: 405, code: 'BAD_REQUEST', message: 'Only GET is supported at this path.', headers: { allow: 'GET' } };

/**
 * Answers the redirect of an OAuth 2.0 service: with a redirect to the page of the caller, or with a page of our own. A parameter that occurs several
 * times counts as absent (RFC 6749, section 3.1).
 */
export async function callbackResponse(
  { method, url: { searchParams } }: ReadableRequest,
  callback: Callback,
  from: Parameters<Callback>[1],
): Promise<HttpResponse> {
  if (method !== 'GET') return refusalResponse(onlyGet);
  const one = (name: string) => {
    const [value, another] = searchParams.getAll(name);
    return value === undefined || value === '' || another !== undefined ? null : value;
  };
  const end = await callback({ state: one('state'), code: one('code'), iss: one('iss'), error: one('error') }, from);
  return 'page' in end ? page(end.page) : { status: 303, headers: { location: end.redirectTo }, body: null };
}
