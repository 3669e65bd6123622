import { scopesOf } from '../access/scopes.ts';
import { createAPIKey, findAPIKey, type IssuedAPIKey, KEY_OVERLAP_SECONDS_MAX, revokeAPIKey, rotateAPIKey } from '../domain/api-key.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import type { Builder } from './builder.ts';
import { recordFields, recordSortFields } from './fields.ts';
import { decodeId, encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import { globDescription, integrationFilter, loadPage, pageArgs, readGlob } from './page.ts';
import { readIntegrationRef } from './references.ts';

/** Adds `APIKey`, its queries and its mutations. */
export function addAPIKey(builder: Builder, kit: Kit): void {
  const { node, pages, references, mutation, deleted, expectedVersion, sort, types } = kit;
  const { apiKey, integration } = types;
  apiKey.implement({
    description:
      'By what a service is known that cannot get tokens from an issuer. Not the credential `APIKeyCredential`, which is for another company’s service. The key itself is shown once, to whoever makes it; a hash is kept.',
    interfaces: [node],
    authScopes: { scope: 'apiKeys.get' },
    fields: (t) => ({
      ...recordFields('apiKey')(t),
      name: t.exposeString('name', { description: 'Unique within the organization.' }),
      scopes: t.exposeStringList('scopes', { description: 'What it grants: scopes and wildcards, for good.' }),
      integration: t.field({
        type: integration,
        nullable: true,
        description: 'The one integration that there is for whoever shows it. Null: all of the organization’s. Scope: `integrations.get`.',
        authScopes: { scope: 'integrations.get' },
        resolve: ({ integrationId }, _args, { loaders }) => (integrationId ? loaders.integration.byId.load(integrationId) : null),
      }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'From when on it is refused. Null: never.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
      lastUsedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it last let somebody in, to the minute. Null: never.',
        resolve: ({ lastUsedAt }) => lastUsedAt,
      }),
      previousKeyUntil: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'Until when the key that a rotation replaced is, or was, taken as well. Null: it was never rotated.',
        resolve: ({ previousUntil }) => previousUntil,
      }),
    }),
  });
  const sortType = sort('APIKeySort', recordSortFields);
  const id = { required: true, description: 'The API key’s global id.' } as const;

  builder.queryField('apiKey', (t) =>
    t.field({
      type: apiKey,
      nullable: true,
      description: 'One API key, without the key. Null when there is none. Scope: `apiKeys.get`.',
      authScopes: { scope: 'apiKeys.get' },
      args: { id: t.arg.id(id) },
      resolve: (_root, { id }, context) => findAPIKey(context, decodeId('apiKey', id, ['id'])),
    }),
  );
  builder.queryField('apiKeys', (t) =>
    t.field({
      type: pages.apiKey,
      description:
        'The organization’s API keys, without the keys. An index serves every sort, and the newest-first order of an integration. Scope: `apiKeys.get`.',
      authScopes: { scope: 'apiKeys.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        integration: t.arg({ type: references.integration, description: 'Only those that are limited to this integration.' }),
        name: t.arg.string({ description: globDescription }),
      },
      resolve: async (_root, { integration, name, sort, ...args }, context) => {
        const filter = { ...(await integrationFilter(context, integration)), nameGlob: readGlob(name, ['name']) };
        return loadPage(context, 'apiKey', filter, args, sort);
      },
    }),
  );

  const issued = builder.objectRef<IssuedAPIKey>('IssuedAPIKey').implement({
    description: 'An API key that was just made, with the key. It cannot be had a second time; do not log or cache it.',
    authScopes: { scope: 'apiKeys.post' },
    fields: (t) => ({
      apiKey: t.field({
        type: apiKey,
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
  const input = builder.inputType('CreateAPIKeyInput', {
    description: 'A new API key.',
    fields: (t) => ({
      name: t.string({ required: true, description: 'What will use it. 1 to 255 characters, unique within the organization.' }),
      scopes: t.stringList({ required: true, description: 'What it grants: scopes and wildcards, at most what the viewer has.' }),
      integration: t.field({
        type: references.integration,
        description:
          'The one integration that there shall be for whoever shows it: nothing else can be found, changed or made. Deleting the integration revokes the key.',
      }),
      expiresAt: t.field({ type: 'DateTime', description: 'From when on it is refused; in the future. Absent: never.' }),
    }),
  });
  const success = { field: 'issued', type: issued, description: 'The key. Answered once, and never again.' } as const;
  mutation('createAPIKey', {
    description:
      'Makes an API key. Whoever makes one gives at most what they have. No wildcard covers its scope: a key outlives the token that made it.',
    scope: 'apiKeys.post',
    cost: 100,
    input,
    alsoNeeds: ({ scopes }) => scopes.flatMap(scopesOf),
    success,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'apiKey',
    resolve: async (context, input) =>
      createAPIKey(context, {
        ...input,
        integration: input.integration && readIntegrationRef(input.integration, ['integration']),
      }),
  });
  mutation('rotateAPIKey', {
    description: 'Puts a new key in the place of the old one. Needs all that the key grants, for the answer is that key.',
    scope: 'apiKeys.post',
    cost: 100,
    input: builder.inputType('RotateAPIKeyInput', {
      description: 'Which API key to rotate, and how.',
      fields: (t) => ({
        apiKey: t.id(id),
        overlapSeconds: t.int({
          defaultValue: 0,
          description: `For how many seconds the old key is taken as well: 0, for one that leaked, to ${KEY_OVERLAP_SECONDS_MAX} (a week), to change it where it is used meanwhile.`,
        }),
        expectedVersion: expectedVersion(t),
      }),
    }),
    success,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'apiKey',
    resolve: async (context, { apiKey: id, overlapSeconds, expectedVersion }) =>
      rotateAPIKey(context, decodeId('apiKey', id, ['apiKey']), { overlapSeconds: overlapSeconds ?? 0, expectedVersion }),
  });
  mutation('revokeAPIKey', {
    description: 'Revokes an API key, for good: it is refused from the next request on, and so is one that it was rotated from.',
    scope: 'apiKeys.delete',
    input: builder.inputType('RevokeAPIKeyInput', {
      description: 'Which API key to revoke.',
      fields: (t) => ({ apiKey: t.id(id), expectedVersion: expectedVersion(t) }),
    }),
    success: deleted,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'apiKey',
    resolve: async (context, { apiKey: id, expectedVersion }) =>
      encodeId('apiKey', await revokeAPIKey(context, decodeId('apiKey', id, ['apiKey']), expectedVersion)),
  });
}
