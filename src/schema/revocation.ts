import {
  endUserTokenRevocationFields,
  type Revocation,
  revokeEndUserTokens,
  revokeTokens,
  tokenRevocationFields,
} from '../domain/revocation.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { Kit } from './kit/index.ts';

/** Adds the mutations that revoke tokens. */
export function addRevocation({ builder, endUser, fields, mutation }: Kit): void {
  const revocation = builder.objectRef<Revocation>('TokenRevocation').implement({
    description: 'A revocation of tokens. This copy of the gateway refuses them at once, the others within seconds.',
    fields: (t) => ({
      before: t.field({
        type: 'DateTime',
        description: 'Tokens that were issued before this time are refused. Later than requested if an earlier revocation is.',
        resolve: (source) => source.before,
      }),
      apiKeyCount: t.exposeInt('apiKeyCount', { description: 'The number of API keys that were revoked with the tokens.' }),
    }),
  });
  const success = { field: 'revocation', type: revocation, description: 'The revocation.' } as const;
  mutation('revokeTokens', {
    description:
      'Revokes the issuer’s tokens of a subject that were issued before a time. A token without `iat` counts as issued before it. A request that was accepted before is completed.',
    scope: 'tokens.delete',
    cost: 100,
    inputDescription: 'The tokens to revoke.',
    input: fields.inputFields(tokenRevocationFields),
    alsoNeeds: ({ apiKeys }) => (apiKeys ? ['apiKeys.delete'] : []),
    success,
    errors: [ValidationError],
    audit: null,
    run: revokeTokens,
  });
  mutation('revokeEndUserTokens', {
    description: 'Revokes the tokens of an end user that were issued before a time. A request that was accepted before is completed.',
    scope: 'endUserTokens.delete',
    cost: 100,
    inputDescription: 'The tokens to revoke.',
    input: {
      endUser: endUser.member({ required: true, description: 'The end user.' }),
      ...fields.inputFields(endUserTokenRevocationFields),
    },
    success,
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    run: revokeEndUserTokens,
  });
}
