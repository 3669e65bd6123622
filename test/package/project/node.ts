import { createServer } from 'node:http';
import type { Gateway } from 'credential-gateway';

export function nodeServer(gateway: Gateway) {
  return createServer(gateway.requestListener);
}
