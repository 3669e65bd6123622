import type { Gateway } from 'credential-gateway';
import Fastify from 'fastify';

export function fastifyServer(gateway: Gateway) {
  const app = Fastify();
  // In a scope of its own, whose bodies Fastify does not read: the gateway reads them itself.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    for (const path of ['/graphql', '/proxy/*', '/oauth/callback']) {
      scope.all(path, (request, reply) => {
        reply.hijack();
        gateway.requestListener(request.raw, reply.raw);
      });
    }
  });
  return app;
}
