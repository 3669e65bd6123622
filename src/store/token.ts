import { date, list, nullable, number, object, oneOf, optional, text, type ValueOf } from './fields.ts';
import { problemCodes } from './health.ts';
import type { SecretFacts } from './secret.ts';

/** A token that the gateway obtained with a credential. Its text is a hidden secret of the credential. */
const minted = object({
  /** The name of the hidden secret. It follows from everything that the token was made from. */
  field: text(),
  tokenType: text(),
  /** Null if the service did not say. */
  scopes: nullable(list(text())),
  /** Null if unknown: then it is used until the service refuses it. */
  expiresAt: nullable(date()),
});

export interface MintedToken extends ValueOf<typeof minted> {}

/** What is known about the tokens of a credential. Absent or null if the gateway has neither obtained nor refreshed one. */
export const tokenField = optional(
  nullable(
    object({
      /** The scopes that were granted. Null if the service did not say. */
      scopes: nullable(list(text())),
      expiresAt: nullable(date()),
      /** When tokens were obtained or refreshed last. Null if never. */
      refreshedAt: nullable(date()),
      /** Why the last try failed: Null if it did not. */
      failure: nullable(oneOf(problemCodes)),
      /** The error code of the service, if a standard defines it. */
      failureCode: nullable(text()),
      /** How many tries have failed in a row. */
      failures: number(),
      /** Until when no other try is made, after a failure. Null if there was none, or if no try will be made. */
      retryAt: nullable(date()),
      minted: list(minted),
    }),
  ),
);

export type StoredToken = NonNullable<ValueOf<typeof tokenField>>;

/** Before the first try. */
export const noToken: StoredToken = {
  scopes: null,
  expiresAt: null,
  refreshedAt: null,
  failure: null,
  failureCode: null,
  failures: 0,
  retryAt: null,
  minted: [],
};

const HIDDEN = 'token:';

/** Returns the name of a hidden secret. No field of a kind can have it. */
export function hiddenField(name: string): string {
  return `${HIDDEN}${name}`;
}

/** Returns the names of the secrets that callers have written. The others are tokens that the gateway obtained: they are not shown, revealed or exported. */
export function shownSecrets(secrets: Readonly<Record<string, SecretFacts>>): string[] {
  return Object.keys(secrets).filter((field) => !field.startsWith(HIDDEN));
}

/** Returns the names of the hidden secrets. */
export function hiddenSecrets(secrets: Readonly<Record<string, SecretFacts>>): string[] {
  return Object.keys(secrets).filter((field) => field.startsWith(HIDDEN));
}
