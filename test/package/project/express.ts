import type { Gateway } from 'credential-gateway';
import express from 'express';

export function expressServer(gateway: Gateway) {
  const app = express();
  // Before everything that reads bodies: the gateway reads them itself.
  app.use(['/graphql', '/proxy', '/oauth/callback'], gateway.requestListener);
  app.use(express.json());
  return app;
}
