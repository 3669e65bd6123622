import type { TokenFacts } from '../domain/token-facts.ts';
import { problemCode } from './health.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** The type of what is known about the tokens of a credential. */
export const tokenFactsType = shared((kit: Kit) =>
  kit.builder.objectRef<TokenFacts>('TokenFacts').implement({
    description: 'What is known about the access token of a credential.',
    fields: (t) => {
      const time = (description: string, of: (facts: TokenFacts) => Date | null) =>
        t.field({ type: 'DateTime', nullable: true, description, resolve: of });
      return {
        scopes: t.stringList({
          nullable: true,
          description: 'The scopes that were granted. Null if there is no token yet.',
          resolve: ({ scopes }) => scopes && [...scopes],
        }),
        expiresAt: time('When the token ends. Null if unknown, or if there is no token yet.', ({ expiresAt }) => expiresAt),
        refreshedAt: time('When the gateway last obtained or refreshed it. Null if never.', ({ refreshedAt }) => refreshedAt),
        refreshAt: time(
          'When the gateway will refresh it though nobody uses it. Null if it will not: only tokens with a refresh token and a known end are refreshed so.',
          ({ refreshAt }) => refreshAt,
        ),
        failure: t.field({
          type: problemCode(kit),
          nullable: true,
          description: 'Why the last try failed. Null if it did not.',
          resolve: ({ failure }) => failure,
        }),
        failureCode: t.string({
          nullable: true,
          description:
            'The error code of the service for that, if a standard defines it, such as `invalid_client` (RFC 6749, section 5.2). Null for any other.',
          resolve: ({ failureCode }) => failureCode,
        }),
        failures: t.int({ description: 'How many tries have failed in a row.', resolve: ({ failures }) => failures }),
      };
    },
  }),
);
