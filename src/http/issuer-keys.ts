import { createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey } from 'jose';
import { UnavailableError } from '../errors.ts';
import { allowedKey } from './public-keys.ts';

/** How the issuer's keys are fetched. Times are in milliseconds. */
export const issuerKeyLimits = {
  /** The time for the whole answer to arrive. */
  timeout: 5_000,
  /** The maximum size of the answer, in bytes, after decompression. */
  maxBytes: 512 * 1024,
  maxKeys: 100,
  /** How long a set is used without asking for a newer one. */
  fresh: 10 * 60_000,
  /** How long a set is used after it was fetched if the endpoint does not return a newer one. A key that the issuer withdrew can be used as long. */
  stale: 60 * 60_000,
  /** The time between two fetches, if the first one succeeded: a key id that is not in the set causes at most one fetch in this time. */
  pause: 30_000,
  /** The time between two fetches, if the first one failed. */
  pauseAfterFailure: 5_000,
};

export interface IssuerKeySettings {
  readonly url: URL;
  /** Called with the reason, in words of our own, when the keys could not be fetched. */
  readonly onFailure: (reason: string) => void;
  readonly now: () => Date;
  readonly limits?: Partial<typeof issuerKeyLimits>;
}

type KeySet = ReturnType<typeof createLocalJWKSet>;

/** The endpoint did not return a set of keys. The message is one of ours. */
class FetchFailure extends Error {}

/**
 * Creates the function that finds the issuer's key for a token. It fetches the set of keys when it is first needed, when it is ten minutes old, and
 * when a token names a key that is not in it. One fetch runs at a time, and the pauses between them do not depend on what callers send. If a
 * fetch fails, the last set is used until it is an hour old.
 *
 * The function throws an error of jose if the set has no such key, and UnavailableError if that cannot be known.
 */
export function createIssuerKeys({ url, onFailure, now, limits }: IssuerKeySettings): JWTVerifyGetKey {
  const { fresh, stale, pause, pauseAfterFailure, ...bounds } = { ...issuerKeyLimits, ...limits };
  let known: { readonly find: KeySet; readonly at: number } | undefined;
  let nextFetchAt = Number.NEGATIVE_INFINITY;
  let hasFailed = false;
  let running: Promise<void> | undefined;

  const time = () => now().getTime();
  const isYounger = (age: number) => known !== undefined && Math.abs(time() - known.at) < age;
  const unavailable = () => {
    const seconds = Math.min(pauseAfterFailure, Math.max(1, nextFetchAt - time())) / 1_000;
    return new UnavailableError('The issuer’s keys could not be fetched, so the token cannot be checked.', Math.ceil(seconds));
  };

  /** Fetches the set, unless it is too early for that. */
  async function refresh(): Promise<void> {
    const wait = nextFetchAt - time();
    // A clock that was set back must not stop fetching for longer than a pause.
    if (!running && wait > 0 && wait <= pause) return;
    running ??= fetchKeySet(url, bounds)
      .then(
        (find) => {
          known = { find, at: time() };
          hasFailed = false;
          nextFetchAt = time() + pause;
        },
        (error: unknown) => {
          hasFailed = true;
          nextFetchAt = time() + pauseAfterFailure;
          onFailure(error instanceof FetchFailure ? error.message : 'there is no answer');
        },
      )
      .finally(() => {
        running = undefined;
      });
    await running;
  }

  return async (header, token) => {
    if (!isYounger(fresh)) {
      // Only the first request waits for an endpoint that does not respond, while the last set may still be used.
      const mayProceed = hasFailed && isYounger(stale);
      const refreshed = refresh();
      if (!mayProceed) await refreshed;
    }
    if (!isYounger(stale)) throw unavailable();
    const find = known!.find;
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    // The issuer may have added the key since.
    await refresh();
    if (known!.find !== find) return known!.find(header, token);
    // Nobody can say whether the key exists.
    if (hasFailed) throw unavailable();
    throw new errors.JWKSNoMatchingKey();
  };
}

/** @throws FetchFailure */
async function fetchKeySet(url: URL, limits: Pick<typeof issuerKeyLimits, 'timeout' | 'maxBytes' | 'maxKeys'>): Promise<KeySet> {
  const signal = AbortSignal.timeout(limits.timeout);
  const headers = { accept: 'application/jwk-set+json, application/json' };
  // A redirect could lead to http, or to another host than the one that was configured.
  const response = await fetch(url, { redirect: 'manual', headers, signal }).catch(() => {
    throw new FetchFailure(signal.aborted ? 'the answer took too long' : 'there is no answer');
  });
  if (response.status !== 200) {
    await response.body?.cancel().catch(() => {});
    throw new FetchFailure(response.status >= 300 && response.status < 400 ? 'the answer is a redirect' : 'the status is not 200');
  }
  const text = await limitedText(response, limits.maxBytes).catch((error: unknown) => {
    throw error instanceof FetchFailure ? error : new FetchFailure(signal.aborted ? 'the answer took too long' : 'the answer was cut off');
  });
  try {
    const { keys } = JSON.parse(text) as { readonly keys: readonly unknown[] };
    if (keys.length > limits.maxKeys) throw new FetchFailure('the answer contains too many keys');
    // Other keys are left out, as those of unknown types are.
    return createLocalJWKSet({ keys: keys.flatMap((key) => allowedKey(key) ?? []) as JWK[] });
  } catch (error) {
    throw error instanceof FetchFailure ? error : new FetchFailure('the answer is not a JSON Web Key Set');
  }
}

async function limitedText(response: Response, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.byteLength;
    // Leaving the loop cancels the rest.
    if (length > maxBytes) throw new FetchFailure('the answer is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
