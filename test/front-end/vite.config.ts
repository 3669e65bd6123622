import react from '@vitejs/plugin-react';
import { type Connect, defineConfig, type Plugin } from 'vite';
import { giveToken } from './back-end.ts';

const gateway = process.env.VITE_GATEWAY_URL;

const tokens: Connect.NextHandleFunction = (request, response, next) =>
  request.url === '/api/token' ? giveToken(request, response) : next();

/** Serves the page’s own back end beside the page. */
const backEnd: Plugin = {
  name: 'back-end',
  configureServer: ({ middlewares }) => void middlewares.use(tokens),
  configurePreviewServer: ({ middlewares }) => void middlewares.use(tokens),
};

export default defineConfig({
  plugins: [react(), backEnd],
  // Vite allows the pages of all ports of this machine to read its answers, and takes another port if its own is not free, from which the gateway accepts
  // nothing. This is for `preview`, too.
  server: { cors: false, strictPort: true },
  // Scripts, styles and requests of the page itself, and requests to the gateway. Nothing inline, and nothing of others.
  preview: {
    headers: {
      'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${gateway}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'`,
    },
  },
});
