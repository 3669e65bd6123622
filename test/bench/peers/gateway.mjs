import { createServer } from 'node:http';
import { pino } from 'pino';
import { demo } from '../../../dist/cli/demo.js';
import { createGateway } from '../../../dist/gateway/index.js';
import { serve } from './serve.mjs';

await serve(async ({ database, secret, masterKey, organization, connections }) => {
  const gateway = await createGateway({
    database,
    masterKeys: [Buffer.from(masterKey, 'base64')],
    tokens: { issuer: 'bench', audience: 'bench', organizationClaim: 'organization', key: { secret: Buffer.from(secret, 'base64') } },
    logger: pino({ level: 'silent' }),
    graphiql: false,
    limits: { rateLimit: 0, organizationRateLimit: 0 },
  });
  await demo(gateway, organization, connections, () => {});
  return createServer(gateway.requestListener);
});
