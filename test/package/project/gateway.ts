import { builtInKinds, createGateway, type GatewayOptions } from 'credential-gateway';
import { badge } from './badge.js';

export function openGateway(uri: string, options: Partial<GatewayOptions> = {}) {
  return createGateway({
    database: { uri, name: 'credentials' },
    masterKeys: [Buffer.from(process.env.MY_KEY ?? '', 'base64')],
    tokens: {
      issuer: 'https://login.example.com',
      audience: 'credentials',
      organizationClaim: 'organization',
      key: { secret: Buffer.from(process.env.MY_TOKEN_SECRET ?? '', 'base64') },
    },
    credentialKinds: [...builtInKinds, badge],
    logger: console,
    ...options,
  });
}
