import { createEndUserToken, type EndUserToken, tokenLifetime } from '../domain/end-user-token.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { Kit } from './kit/index.ts';

/** Adds `EndUserToken` and the mutation that creates it. */
export function addEndUserToken({ builder, endUser, fields, input, mutation }: Kit): void {
  const token = builder.objectRef<EndUserToken>('EndUserToken').implement({
    description:
      'A short-lived token for the browser of an end user. It allows reading and changing the connections and credentials of this end user only. It never allows revealing secrets.',
    authScopes: { scope: 'endUserTokens.post' },
    fields: (t) => ({
      token: t.string({
        description: 'The token. Send it as `Authorization: Bearer <token>`. It is not stored.',
        resolve: (source) => source.token.expose(),
      }),
      scopes: t.exposeStringList('scopes', { description: 'The scopes that it grants.' }),
      expiresAt: t.field({
        type: 'DateTime',
        description: 'The token is refused from this time on.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
    }),
  });
  mutation('createEndUserToken', {
    description:
      'Creates a token for the browser of an end user. Only a back end that has authenticated the end user should call it. Its scope is enough to grant everything that an end user can have.',
    scope: 'endUserTokens.post',
    cost: 50,
    perRequest: 1,
    inputDescription: 'The end user and scopes of a new token.',
    input: {
      endUser: endUser.member({ required: true, description: 'The end user.' }),
      scopes: input.stringList({
        description:
          'The scopes that it grants. The viewer need not have them. Allowed: all scopes of `connections`; those of `credentials` except revealing and fingerprints; `get` of `endUsers`, `connectors` and `integrations`. All of these by default.',
      }),
      ...fields.inputFields({ lifetimeSeconds: tokenLifetime }),
    },
    success: { field: 'endUserToken', type: token, description: 'The token. It is returned only once.' },
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    run: createEndUserToken,
  });
}
