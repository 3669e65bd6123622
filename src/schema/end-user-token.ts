import { confinedScopes, scopesOf } from '../access/scopes.ts';
import { createEndUserToken, type EndUserToken, tokenLifetime } from '../domain/end-user-token.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { Kit } from './kit/index.ts';

/** Adds `EndUserToken` and the mutation that makes one. */
export function addEndUserToken({ builder, endUser, fields, input, mutation }: Kit): void {
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
    inputDescription: 'Whose token, and what it grants.',
    input: {
      endUser: endUser.member({ required: true, description: 'Whose it is.' }),
      scopes: input.stringList({
        description:
          'What it grants, at most what the viewer has: of `connections`, `credentials` all but revealing and fingerprints, and `get` of `endUsers`, `connectors` and `integrations`. Absent: all of these.',
      }),
      ...fields.inputFields({ lifetimeSeconds: tokenLifetime }),
    },
    alsoNeeds: ({ scopes }) => scopes?.flatMap(scopesOf) ?? confinedScopes.endUser,
    success: { field: 'endUserToken', type: token, description: 'The token. Answered once, and never again.' },
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    run: createEndUserToken,
  });
}
