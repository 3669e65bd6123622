import { scopesOf } from '../access/scopes.ts';
import { apiKeyFields, createAPIKey, endOf, type IssuedAPIKey, overlapSeconds, revokeAPIKey, rotateAPIKey } from '../domain/api-key.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { boundsOf } from '../fields/field.ts';
import { actorType } from './kit/actor.ts';
import { byGlob, byReference } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `APIKey`, its queries and its mutations. */
export function addAPIKey(kit: Kit): void {
  const { builder, apiKey, integration, fields, input, mutation } = kit;
  apiKey.implement({
    description:
      'A key that authenticates a service that cannot get tokens from an issuer. Not to be confused with `APIKeyCredential`, a credential for another company’s service. The key itself is returned once, when it is created; only a hash is stored.',
    fields: (t) => ({
      ...fields.outputFields(t, apiKeyFields),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description:
          'The key is refused from this time on. Null if it does not expire. A key that another one created is also refused when that one is.',
        resolve: (record, _args, { policy }) => endOf(record, policy.apiKeyLifetimeMs),
      }),
      createdBy: t.field({
        type: actorType(builder),
        nullable: true,
        description: 'Who created it. If that is an API key, this key ends with it. Null for keys that are too old to contain it.',
        resolve: ({ createdByKind: kind, createdBySubject: subject }) => (kind && subject !== undefined ? { kind, subject } : null),
      }),
      scopes: t.exposeStringList('scopes', { description: 'The scopes and wildcards that it grants. They never change.' }),
      integration: integration.related(t, {
        description: 'The integration that the key is limited to. Null if it is not limited.',
        id: ({ integrationId }) => integrationId,
      }),
      lastUsedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it was last accepted, to the minute. Null if never.',
        resolve: ({ lastUsedAt }) => lastUsedAt,
      }),
      previousKeyUntil: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'The replaced key is accepted until this time. Null if the key was never rotated.',
        resolve: ({ previousUntil }) => previousUntil,
      }),
    }),
  });

  apiKey.one('Returns an API key, without the key itself. Null if not found.');
  apiKey.list({
    description:
      'Lists the organization’s API keys, without the keys themselves. Indexed: every sort, and newest first within an integration. Other combinations can have short pages: see `APIKeyPage`.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only API keys that are limited to this integration.'),
      name: byGlob(),
    },
  });

  const issued = builder.objectRef<IssuedAPIKey>('IssuedAPIKey').implement({
    description: 'A new API key, including the key itself. The key cannot be read again; do not log or cache it.',
    authScopes: { scope: 'apiKeys.post' },
    fields: (t) => ({
      apiKey: t.field({
        type: apiKey.type,
        description: 'The stored API key. Scope: `apiKeys.get`.',
        authScopes: { scope: 'apiKeys.get' },
        resolve: (source) => source.apiKey,
      }),
      apiKeyId: t.id({
        description: 'The global id of the API key. Requires no further scope.',
        resolve: (source) => encodeId('apiKey', source.apiKey.id),
      }),
      key: t.string({
        description:
          'The key. Send it as `Authorization: Bearer <key>`, or as the password of HTTP Basic with any user name. Basic is refused from browsers.',
        resolve: ({ key }) => key.expose(),
      }),
    }),
  });
  const success = { field: 'issued', type: issued, description: 'The key. It is returned only once.' } as const;
  mutation('createAPIKey', {
    description:
      'Creates an API key. It can grant only scopes that the viewer has. A key that is created with an API key ends with that one. No wildcard covers the scope of this mutation, because the key stays valid after the viewer’s token has expired.',
    scope: 'apiKeys.post',
    cost: 100,
    perRequest: 1,
    inputDescription: 'A new API key.',
    input: {
      ...fields.inputFields(apiKeyFields),
      scopes: input.stringList({ required: true, description: 'The scopes and wildcards that it grants. The viewer must have them.' }),
      integration: integration.member({
        description:
          'Limits the key to this integration: it can read, change and create nothing else. Deleting the integration revokes the key.',
      }),
    },
    alsoNeeds: ({ scopes }) => scopes.flatMap(scopesOf),
    success,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'apiKey',
    run: createAPIKey,
  });
  mutation('rotateAPIKey', {
    description:
      'Replaces the key with a new one. The viewer must have all scopes that the key grants, because the new key is returned. An API key can replace only itself and keys that were created with it.',
    scope: 'apiKeys.post',
    cost: 100,
    perRequest: 1,
    inputDescription: 'The API key to rotate.',
    input: {
      ...apiKey.which(),
      overlapSeconds: input.int({
        defaultValue: overlapSeconds.default,
        description: `${overlapSeconds.description} ${boundsOf(overlapSeconds)}`,
      }),
    },
    success,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'apiKey',
    run: rotateAPIKey,
  });
  apiKey.remove({
    name: 'revokeAPIKey',
    description:
      'Revokes an API key permanently. The key, the key that it replaced, and all keys that were created with it are refused from the next request on.',
    errors: [ValidationError, NotFoundError, ConflictError],
    run: revokeAPIKey,
  });
}
