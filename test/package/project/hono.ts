import type { Gateway } from 'credential-gateway';
import { Hono } from 'hono';

export function honoServer(gateway: Gateway) {
  const app = new Hono();
  for (const path of ['/graphql', '/proxy/*', '/oauth/callback']) app.all(path, ({ req }) => gateway.fetch(req.raw));
  return app;
}
