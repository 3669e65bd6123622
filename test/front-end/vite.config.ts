import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { giveToken } from './back-end.ts';

const gateway = process.env.VITE_GATEWAY_URL;

/** Serves the page’s own back end beside the page. */
const backEnd: Plugin = {
  name: 'back-end',
  configureServer: ({ middlewares }) => void middlewares.use('/api/token', giveToken),
  configurePreviewServer: ({ middlewares }) => void middlewares.use('/api/token', giveToken),
};

export default defineConfig({
  plugins: [react(), backEnd],
  // Scripts, styles and requests of the page itself, and requests to the gateway. Nothing inline, and nothing of others.
  preview: {
    headers: {
      'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${gateway}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'`,
    },
  },
});
