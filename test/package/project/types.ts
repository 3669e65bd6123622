// What must not compile is marked: TypeScript reports a mark without an error.
import { createGateway, defineCredentialKind, flag, type Gateway, type Logger, secret, text } from 'credential-gateway';
import { credentialKindChecks } from 'credential-gateway/testing';
import type { GraphQLSchema } from 'graphql';
import { badge } from './badge.js';

export const kind = defineCredentialKind({
  kind: 'lock',
  typeName: 'LockCredential',
  description: 'A lock.',
  fields: {
    code: secret({ description: 'The code.', maxLength: 8, format: 'any', example: '1', invalidExample: '' }),
    isDouble: flag({ description: 'Whether it closes twice.', example: true, invalidExample: 1 }),
    place: text({ description: 'The place.', maxLength: 8, example: 'a', invalidExample: '', optional: true }),
  },
  destinations: ['place'],
  derive({ settings, secrets, isSet }) {
    const isDouble: boolean | undefined = settings.isDouble;
    const code: string | undefined = secrets.code?.expose();
    // @ts-expect-error a setting is no secret
    secrets.place;
    // @ts-expect-error there is no such field
    settings.colour;
    // @ts-expect-error only secrets are set or not
    isSet.place;
    return { isDouble, length: code?.length };
  },
});

defineCredentialKind({
  kind: 'door',
  typeName: 'DoorCredential',
  description: 'A door.',
  fields: {},
  // @ts-expect-error there is no such field
  destinations: ['nowhere'],
});

export const logger: Logger = { info: () => {}, warn: () => {}, error: () => {} };
export async function use(gateway: Gateway) {
  const schema: GraphQLSchema = gateway.schema;
  const { data, errors } = await gateway.execute({
    query: '{ viewer { id } }',
    viewer: { organizationId: 'acme', kind: 'token', subject: 'ada', scopes: new Set(['viewer.get']) },
  });
  const code: unknown = errors?.[0]?.extensions.code;
  // @ts-expect-error it is only for commands
  await createGateway({ isLazy: true });
  return { schema, data, code, checks: credentialKindChecks(badge) };
}
