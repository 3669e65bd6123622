import { createHash } from 'node:crypto';
import type { Plugin } from 'graphql-yoga';
import { clientScript } from './client.ts';
import { pageHtml, pageStyle } from './page.ts';

export interface GraphiqlSettings {
  readonly tokens: { readonly organizationClaim: string };
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

interface Site {
  readonly page: string;
  readonly assets: ReadonlyMap<string, { readonly type: string; readonly content: Uint8Array<ArrayBuffer> }>;
}

/**
 * Serves GraphiQL to browsers at GET /graphql. Nothing is loaded from other servers. The page is the same for everybody and contains no
 * token. Its assets (9 MB) have URLs that change with their content, so that a browser loads them only once.
 */
export function useGraphiql(settings: GraphiqlSettings): Plugin {
  let site: Promise<Site> | undefined;
  return {
    async onRequest({ request, url, endResponse, fetchAPI }) {
      if (request.method !== 'GET') return;
      const isPage = url.pathname === '/graphql' && request.headers.get('accept')?.includes('text/html');
      if (!isPage && !url.pathname.startsWith('/graphql/')) return;
      site ??= buildSite(settings);
      const { page, assets } = await site;
      if (isPage) {
        const headers = {
          'content-type': 'text/html; charset=utf-8',
          'content-security-policy': CONTENT_SECURITY_POLICY,
          'cross-origin-opener-policy': 'same-origin',
          vary: 'accept',
        };
        return endResponse(new fetchAPI.Response(page, { headers }));
      }
      const asset = assets.get(url.pathname.slice('/graphql/'.length));
      if (!asset) return;
      const headers = {
        'content-type': asset.type,
        'content-length': String(asset.content.byteLength),
        'cache-control': 'private, max-age=31536000, immutable',
      };
      endResponse(new fetchAPI.Response(asset.content, { headers }));
    },
  };
}

/** Builds the page and its assets on first use, so that a gateway without browsers does not load 9 MB. */
async function buildSite({ tokens }: GraphiqlSettings): Promise<Site> {
  const { js, css, editorWorkerService, jsonWorker, graphqlWorker } = await import('@graphql-yoga/render-graphiql/graphiql');
  const assets = new Map<string, { type: string; content: Uint8Array<ArrayBuffer> }>();
  /** Adds an asset, and returns its URL relative to the page. */
  const add = (name: string, extension: 'js' | 'css', text: string) => {
    const content = new TextEncoder().encode(text);
    const path = `${name}-${createHash('sha256').update(content).digest('hex').slice(0, 16)}.${extension}`;
    assets.set(path, { type: extension === 'js' ? 'text/javascript; charset=utf-8' : 'text/css; charset=utf-8', content });
    return `graphql/${path}`;
  };
  const workers = {
    editorWorkerService: add('editor-worker', 'js', editorWorkerService),
    json: add('json-worker', 'js', jsonWorker),
    graphql: add('graphql-worker', 'js', graphqlWorker),
  };
  const page = pageHtml({
    styles: [add('graphiql', 'css', css), add('page', 'css', pageStyle)],
    clientScript: add('page', 'js', clientScript({ organizationClaim: tokens.organizationClaim, workers })),
    graphiqlScript: add('graphiql', 'js', js),
  });
  return { page, assets };
}
