import gateway = require('credential-gateway');
import testing = require('credential-gateway/testing');

export const names: string[] = testing.credentialKindChecks(gateway.builtInKinds[1]!).map(({ name }) => name);
console.log(JSON.stringify({ names, create: typeof gateway.createGateway }));
