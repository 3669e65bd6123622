import { confinedScopes, scopesOf } from '../access/scopes.ts';
import { createEndUserToken, END_USER_TOKEN_SECONDS, END_USER_TOKEN_SECONDS_MAX, type EndUserToken } from '../domain/end-user-token.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { Builder } from './builder.ts';
import type { Kit } from './kit.ts';
import { readEndUserRef } from './references.ts';

/** Adds `EndUserToken` and the mutation that makes one. */
export function addEndUserToken(builder: Builder, { references, mutation }: Kit): void {
  const token = builder.objectRef<EndUserToken>('EndUserToken').implement({
    description:
      'By what the browser of an end user is known, for a short time. Whoever holds it sees and changes that end user’s connections and credentials, and nothing else; secrets are never revealed to it.',
    authScopes: { scope: 'endUserTokens.post' },
    fields: (t) => ({
      token: t.string({
        description: 'A bearer token: `Authorization: Bearer <token>`. Not kept.',
        resolve: (source) => source.token.expose(),
      }),
      scopes: t.exposeStringList('scopes', { description: 'What it grants.' }),
      expiresAt: t.field({ type: 'DateTime', description: 'From when on it is refused.', resolve: ({ expiresAt }) => expiresAt }),
    }),
  });
  mutation('createEndUserToken', {
    description: 'Makes a token for the browser of an end user. For back ends, which know that it is the end user’s.',
    scope: 'endUserTokens.post',
    cost: 50,
    input: builder.inputType('CreateEndUserTokenInput', {
      description: 'A new token for an end user.',
      fields: (t) => ({
        endUser: t.field({ type: references.endUser, required: true, description: 'Whose it is.' }),
        scopes: t.stringList({
          description:
            'What it grants, at most what the viewer has: of `connections`, `credentials` all but revealing and fingerprints, and `get` of `endUsers`, `connectors` and `integrations`. Absent: all of these.',
        }),
        lifetimeSeconds: t.int({
          description: `In how many seconds it expires: 60 to ${END_USER_TOKEN_SECONDS_MAX}, ${END_USER_TOKEN_SECONDS} unless told. It cannot be taken back before.`,
        }),
      }),
    }),
    alsoNeeds: ({ scopes }) => scopes?.flatMap(scopesOf) ?? confinedScopes.endUser,
    success: { field: 'endUserToken', type: token, description: 'The token. Answered once, and never again.' },
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    resolve: async (context, input) => createEndUserToken(context, { ...input, endUser: readEndUserRef(input.endUser, ['endUser']) }),
  });
}
