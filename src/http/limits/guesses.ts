import { createHash } from 'node:crypto';
import type { Viewer } from '../../access/viewer.ts';
import { UnauthenticatedError } from '../../errors.ts';

/** Runs the check of a token that needs the database. */
export type Guard = (token: string, check: () => Promise<Viewer>) => Promise<Viewer>;

/** How many tokens a copy remembers: of those that were accepted, and of those that were refused. */
const TOKENS_MAX = 10_000;
/** How long a refused token is refused without asking the database, in milliseconds. */
const REFUSED_MS = 60_000;

/** Spends from the limit of the request's address. Returns a function that gives it back. @throws RateLimitedError */
export type SpendOnGuess = () => Promise<() => void>;

/**
 * Limits how often the database is asked about tokens that are not valid. A token that was accepted before is always checked. Any other
 * token is paid for by its address before it is checked, and gets that back if it is valid. So one address causes no more reads than it may
 * send requests without a valid token, also if it sends them at once. A token that was refused is refused again without a read: no token
 * becomes valid later. Tokens are remembered by their hash.
 */
export function createGuesses(now: () => Date) {
  const accepted = new Set<string>();
  const refused = new Map<string, { readonly until: number; readonly message: string }>();

  return (spend: SpendOnGuess): Guard => {
    return async (token, check) => {
      const hash = createHash('sha256').update(token).digest('base64url');
      const known = refused.get(hash);
      const isAccepted = accepted.has(hash);
      const giveBack = isAccepted ? undefined : await spend();
      if (known && now().getTime() < known.until) throw new SpentGuessError(known.message);
      try {
        const viewer = await check();
        keep(accepted, hash);
        giveBack?.();
        return viewer;
      } catch (error) {
        if (!(error instanceof UnauthenticatedError)) {
          giveBack?.();
          throw error;
        }
        accepted.delete(hash);
        refused.delete(hash);
        refused.set(hash, { until: now().getTime() + REFUSED_MS, message: error.message });
        if (refused.size > TOKENS_MAX) refused.delete(refused.keys().next().value!);
        throw isAccepted ? error : new SpentGuessError(error.message);
      }
    };
  };
}

/** A token is not valid, and its address has paid for that already. */
export class SpentGuessError extends UnauthenticatedError {}

/** Adds an item at the end, and removes the first one if there are too many. */
function keep(items: Set<string>, item: string): void {
  items.delete(item);
  items.add(item);
  if (items.size > TOKENS_MAX) items.delete(items.values().next().value!);
}
