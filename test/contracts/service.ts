import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An OAuth 2.0 server that says about itself what RFC 8414 demands, and answers each request with a token, but for one path. It ends with the process. */
const server = createServer(({ url }, response) => {
  response.setHeader('content-type', 'application/json');
  if (url === '/refused') return void response.writeHead(400).end(JSON.stringify({ error: 'invalid_client' }));
  const facts = { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` };
  response.end(JSON.stringify({ ...facts, access_token: 'token-of-the-tests', token_type: 'Bearer' }));
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
server.unref();

export const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
