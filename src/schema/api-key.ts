import { scopesOf } from '../access/scopes.ts';
import { apiKeyFields, createAPIKey, type IssuedAPIKey, overlapSeconds, revokeAPIKey, rotateAPIKey } from '../domain/api-key.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { boundsOf } from '../fields/field.ts';
import { byGlob, byReference } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `APIKey`, its queries and its mutations. */
export function addAPIKey({ builder, apiKey, integration, fields, input, mutation }: Kit): void {
  apiKey.implement({
    description:
      'By what a service is known that cannot get tokens from an issuer. Not the credential `APIKeyCredential`, which is for another company’s service. The key itself is shown once, to whoever makes it; a hash is kept.',
    fields: (t) => ({
      ...fields.outputFields(t, apiKeyFields),
      scopes: t.exposeStringList('scopes', { description: 'What it grants: scopes and wildcards, for good.' }),
      integration: integration.related(t, {
        description: 'The only integration that exists for the holder of the key. Null: all of the organization’s.',
        id: ({ integrationId }) => integrationId,
      }),
      lastUsedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it was last accepted, to the minute. Null: never.',
        resolve: ({ lastUsedAt }) => lastUsedAt,
      }),
      previousKeyUntil: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'The replaced key is accepted until this time. Null: the key was never rotated.',
        resolve: ({ previousUntil }) => previousUntil,
      }),
    }),
  });

  apiKey.one('One API key, without the key. Null when there is none.');
  apiKey.list({
    description: 'The organization’s API keys, without the keys. An index serves every sort, and the newest-first order of an integration.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only those that are limited to this integration.'),
      name: byGlob(),
    },
  });

  const issued = builder.objectRef<IssuedAPIKey>('IssuedAPIKey').implement({
    description: 'An API key that was just made, with the key. It cannot be had a second time; do not log or cache it.',
    authScopes: { scope: 'apiKeys.post' },
    fields: (t) => ({
      apiKey: t.field({
        type: apiKey.type,
        description: 'What is kept of it. Scope: `apiKeys.get`.',
        authScopes: { scope: 'apiKeys.get' },
        resolve: (source) => source.apiKey,
      }),
      id: t.id({
        description: 'Its global id, which needs no scope of its own.',
        resolve: (source) => encodeId('apiKey', source.apiKey.id),
      }),
      key: t.string({
        description:
          'The key: `Authorization: Bearer <key>`, or the password of HTTP Basic with any user name, though never from a browser.',
        resolve: ({ key }) => key.expose(),
      }),
    }),
  });
  const success = { field: 'issued', type: issued, description: 'The key. Answered once, and never again.' } as const;
  mutation('createAPIKey', {
    description:
      'Creates an API key, which grants at most what its maker has. No wildcard covers its scope: a key outlives the token that made it.',
    scope: 'apiKeys.post',
    cost: 100,
    inputDescription: 'A new API key.',
    input: {
      ...fields.inputFields(apiKeyFields),
      scopes: input.stringList({ required: true, description: 'What it grants: scopes and wildcards, at most what the viewer has.' }),
      integration: integration.member({
        description:
          'The only integration that exists for the holder of the key: nothing else can be found, changed or created. Deleting the integration revokes the key.',
      }),
    },
    alsoNeeds: ({ scopes }) => scopes.flatMap(scopesOf),
    success,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'apiKey',
    run: createAPIKey,
  });
  mutation('rotateAPIKey', {
    description: 'Replaces the key by a new one. Needs all that the key grants, for the answer is that key.',
    scope: 'apiKeys.post',
    cost: 100,
    inputDescription: 'Which API key to rotate, and how.',
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
    description: 'Revokes an API key, for good: it is refused from the next request on, and so is the key that it replaced.',
    errors: [ValidationError, NotFoundError, ConflictError],
    run: revokeAPIKey,
  });
}
