import { createHash } from 'node:crypto';
import { defaultNames, type SchemaNames } from '../../schema-names.ts';
import { compressed } from '../compression.ts';
import { acceptsHtml, type Coding, codingFor } from '../negotiation.ts';
import type { HttpResponse, ReadableRequest, RequestHeaders } from '../request.ts';
import { clientScript } from './client.ts';
import { pageHtml, pageStyle } from './page.ts';

export interface GraphiqlSettings {
  readonly tokens: { readonly organizationClaim: string };
  /** Other names than those of `schema.graphql`. The examples have them, too. */
  readonly names?: SchemaNames | undefined;
}

/**
 * The page may run our scripts and send requests to the gateway. Monaco writes its themes and sizes into style elements, so styles need
 * 'unsafe-inline'. Its fonts and images are data: URLs in the style sheet. A worker has the policy of its own response, not that of the page.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  'font-src data:',
  'img-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Content that is the same for everybody. */
interface Content {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly hash: string;
  /** The content in each coding that was asked for. Undefined if that is not smaller. */
  readonly coded: Map<Coding, Promise<Uint8Array<ArrayBuffer> | undefined>>;
}

interface Site {
  readonly page: Content;
  readonly assets: ReadonlyMap<string, Content>;
}

const pageHeaders = {
  // The browser asks each time whether the page is still the same, so that a new version of the gateway is seen at once.
  'cache-control': 'private, no-cache',
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
};
const assetHeaders = { 'cache-control': 'private, max-age=31536000, immutable' };

/**
 * Creates the function that serves GraphiQL to browsers at GET /graphql, and returns undefined for other requests. Nothing is loaded from other
 * servers. The page is the same for everybody and contains no token. Its assets (11 MB, compressed 3 MB) have URLs that change with their
 * content, so that a browser loads them only once.
 */
export function createGraphiql(settings: GraphiqlSettings): (request: ReadableRequest) => Promise<HttpResponse | undefined> | undefined {
  let site: Promise<Site> | undefined;
  return ({ method, url, headers }) => {
    if (method !== 'GET') return undefined;
    const isPage = url.pathname === '/graphql' && acceptsHtml(headers);
    if (!isPage && !url.pathname.startsWith('/graphql/')) return undefined;
    site ??= buildSite(settings);
    return site.then(async ({ page, assets }) => {
      const content = isPage ? page : assets.get(url.pathname.slice('/graphql/'.length));
      if (!content) return undefined;
      const response = await served(content, headers);
      return { ...response, headers: { ...(isPage ? pageHeaders : assetHeaders), ...response.headers } };
    });
  };
}

/** Returns the content in the best coding that the client accepts, or that it has not changed (RFC 9110, section 13.1.2). */
async function served({ type, bytes, hash, coded }: Content, given: RequestHeaders): Promise<HttpResponse> {
  const coding = codingFor(given);
  if (coding && !coded.has(coding)) coded.set(coding, compressed(bytes, coding));
  const smaller = coding && (await coded.get(coding));
  const etag = `"${hash}${smaller ? `-${coding}` : ''}"`;
  const headers = { etag, vary: 'accept, accept-encoding' };
  if (isKnown(etag, given['if-none-match'])) return { status: 304, body: null, headers };
  const body = smaller ?? bytes;
  return {
    status: 200,
    body,
    headers: {
      ...headers,
      'content-type': type,
      'content-length': String(body.byteLength),
      ...(smaller && { 'content-encoding': coding as string }),
    },
  };
}

/** Returns whether a list of entity tags contains this one. A proxy can have made them weak. */
function isKnown(etag: string, list: string | undefined): boolean {
  return (list ?? '').split(',').some((known) => ['*', etag].includes(known.trim().replace(/^W\//, '')));
}

function contentOf(type: string, text: string): Content {
  const bytes = new TextEncoder().encode(text);
  return { type, bytes, hash: createHash('sha256').update(bytes).digest('hex').slice(0, 16), coded: new Map() };
}

/** Builds the page and its assets on first use, so that a gateway without browsers does not load 9 MB. */
async function buildSite({ tokens, names = defaultNames }: GraphiqlSettings): Promise<Site> {
  const { js, css, editorWorkerService, jsonWorker, graphqlWorker } = await import('@graphql-yoga/render-graphiql/graphiql');
  const assets = new Map<string, Content>();
  /** Adds an asset, and returns its URL relative to the page. */
  const add = (name: string, extension: 'js' | 'css', text: string) => {
    const content = contentOf(extension === 'js' ? 'text/javascript; charset=utf-8' : 'text/css; charset=utf-8', text);
    const path = `${name}-${content.hash}.${extension}`;
    assets.set(path, content);
    return `graphql/${path}`;
  };
  const workers = {
    editorWorkerService: add('editor-worker', 'js', editorWorkerService),
    json: add('json-worker', 'js', jsonWorker),
    graphql: add('graphql-worker', 'js', graphqlWorker),
  };
  const page = pageHtml({
    styles: [add('graphiql', 'css', css), add('page', 'css', pageStyle)],
    clientScript: add('page', 'js', clientScript({ organizationClaim: tokens.organizationClaim, names, workers })),
    graphiqlScript: add('graphiql', 'js', js),
  });
  return { page: contentOf('text/html; charset=utf-8', page), assets };
}
