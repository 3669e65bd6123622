/** How old the answer may be, in milliseconds. */
const AGE_MAX_MS = 1_000;
/** How long the database may take, in milliseconds. */
const PING_MS = 2_000;

/**
 * Returns a function that tells whether the database responds. Anybody may ask, so asking often causes one ping at a time and one per second,
 * and every answer comes within the time limit.
 */
export function createReadiness(ping: () => Promise<void>): () => Promise<boolean> {
  let isReady = false;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let checking: Promise<boolean> | undefined;

  async function check(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), PING_MS);
    });
    const pinging = ping().then(
      () => true,
      () => false,
    );
    isReady = await Promise.race([pinging, tooLate]);
    clearTimeout(timer);
    checkedAt = performance.now();
    // A ping that hangs is not joined by another one. Until it ends, the answer is the last one.
    void pinging.then((answer) => {
      isReady = answer;
      checkedAt = performance.now();
      checking = undefined;
    });
    return isReady;
  }

  return async () => {
    if (performance.now() - checkedAt < AGE_MAX_MS) return isReady;
    checking ??= check();
    return checking;
  };
}
