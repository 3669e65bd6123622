import { createSecretKey } from 'node:crypto';
import { jwtVerify } from 'jose';

/** Returns what verifies the bearer token of a request and gives the organization and the scopes, as the gateway does. */
export function tokenVerifier(secret) {
  const key = createSecretKey(Buffer.from(secret, 'base64'));
  return async (authorization) => {
    const [, token] = /^Bearer (.+)$/.exec(authorization ?? '') ?? [];
    if (!token) throw new Error('A token is needed.');
    const { payload } = await jwtVerify(token, key, { issuer: 'bench', audience: 'bench', algorithms: ['HS256'] });
    if (!payload.scope.split(' ').includes('all.Organization')) throw new Error('The scope is missing.');
    return payload.organization;
  };
}
