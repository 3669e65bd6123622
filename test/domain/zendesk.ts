import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exampleCertificate, exampleKey } from '../../src/credential-kinds/examples-pem.ts';
import type { Json } from '../harness.ts';

const SKEW_SECONDS = 180;
const COOKIE = '__Host-session';

/** What the account made of a token. */
export type Verdict = { readonly claims: Json } | { readonly refused: string };

/**
 * A Zendesk account's side of signing in, as Zendesk documents it, and by nothing of ours: a token is good when it says typ and alg HS256,
 * its signature is that of the shared secret, its iat at most three minutes off, and its jti new.
 */
export function zendeskAccount(sharedSecret: string | Buffer, now: () => Date = () => new Date()) {
  const seen = new Set<string>();
  return function verify(token: string): Verdict {
    const [header = '', payload = '', signature = '', ...more] = token.split('.');
    if (more.length > 0) return { refused: 'not a token' };
    const expected = createHmac('sha256', sharedSecret).update(`${header}.${payload}`).digest();
    const given = Buffer.from(signature, 'base64url');
    const { typ, alg } = parse(header);
    if (typ !== 'JWT' || alg !== 'HS256') return { refused: 'typ or alg' };
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { refused: 'signature' };
    const claims = parse(payload);
    if (!Number.isInteger(claims.iat) || Math.abs(now().getTime() / 1000 - claims.iat) > SKEW_SECONDS) return { refused: 'iat' };
    if (typeof claims.jti !== 'string' || seen.has(claims.jti)) return { refused: 'jti' };
    if (typeof claims.email !== 'string' || typeof claims.name !== 'string') return { refused: 'email or name' };
    seen.add(claims.jti);
    return { claims };
  };
}

function parse(part: string): Json {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    return {};
  }
}

/** The account on a port of this machine, over TLS with a certificate that nobody signed: browsers must be told to take it. */
export async function startZendesk(host: string, sharedSecret: string) {
  const verify = zendeskAccount(sharedSecret);
  const sessions = new Map<string, Json>();
  /** What was asked, by method and path, with the content type of what was posted. */
  const requests: string[] = [];

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', `https://${request.headers.host}`);
    requests.push(`${request.method} ${url.hostname}${url.pathname} ${request.headers['content-type'] ?? ''}`.trim());
    const redirect = (location: string, cookie?: string) =>
      response.writeHead(302, { location, ...(cookie && { 'set-cookie': cookie }) }).end();
    if (url.hostname !== host) return void response.writeHead(421).end();
    if (url.pathname === '/access/jwt') {
      const given = request.method === 'POST' ? new URLSearchParams(await bodyOf(request)) : url.searchParams;
      const verdict = verify(given.get('jwt') ?? '');
      if ('refused' in verdict) return void redirect(`/access/unauthenticated?kind=error&message=${encodeURIComponent(verdict.refused)}`);
      const session = randomUUID();
      sessions.set(session, verdict.claims);
      return void redirect(given.get('return_to') ?? '/hc', `${COOKIE}=${session}; Path=/; Secure; HttpOnly; SameSite=Lax`);
    }
    const who = sessions.get(new RegExp(`${COOKIE}=([^;]+)`).exec(request.headers.cookie ?? '')?.[1] ?? '');
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    const text = url.searchParams.has('kind') ? `Refused: ${url.searchParams.get('message')}` : `Signed in as ${who?.name} <${who?.email}>`;
    response.end(`<!doctype html><title>Help</title><p>${who || url.searchParams.has('kind') ? escaped(text) : 'Not signed in'}</p>`);
  }

  const server = createServer({ cert: exampleCertificate, key: exampleKey }, (request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const escaped = (text: string) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
