import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import { number, tenantSchema, text } from './fields.ts';
import { newId } from './records.ts';

/** The organization of requests without one. No organization name begins with this character. */
export const NO_ORGANIZATION = '-';

/** The time limit of a reservation. If it is exceeded, the caller has a fallback. */
const RESERVE_MS = 2_000;
const ATTEMPTS = 8;
const SWEEP_MAX = 1_000;

/** The used part of each spender's rate limit in the current window. Each spender has one document, which is reused for every window. */
export function rateLimitStore(database: Database) {
  const schema = tenantSchema({
    key: text(),
    /** The number of the window, which increases with time. */
    window: number(),
    used: number(),
  });
  schema.index({ organizationId: 1, key: 1 }, { unique: true });
  schema.index({ organizationId: 1, window: 1 });
  const model = database.model('RateLimit', schema, 'rateLimits');
  const options = { timeoutMS: RESERVE_MS };

  /** Adds to the used amount if the sum is at most `most`. Also accepts a later window, which another copy's clock has begun. */
  async function take(organizationId: string, key: string, window: number, amount: number, most: number): Promise<number | undefined> {
    const filter = { organizationId, key, window: { $gte: window }, used: { $lte: most - amount } };
    const taken = await model.findOneAndUpdate(filter, { $inc: { used: amount } }, { ...options, returnDocument: 'after' }).lean();
    return taken?.used;
  }

  /** Begins a window with `amount` used. Returns false if another copy has begun it. */
  async function begin(organizationId: string, key: string, window: number, amount: number): Promise<boolean> {
    const filter = { organizationId, key, window: { $lt: window } };
    try {
      await model.updateOne(filter, { $set: { window, used: amount }, $setOnInsert: { _id: newId() } }, { ...options, upsert: true });
      return true;
    } catch (error) {
      if (translate(error) instanceof DuplicateKeyError) return false;
      throw error;
    }
  }

  return translatingErrors({
    /**
     * Reserves a part of the limit in the window: `share`, or the rest if that is less, or nothing if the rest is less than `least`. Usually
     * one atomic write. Returns the reserved amount and the rest after it.
     */
    async reserve(
      organizationId: string,
      key: string,
      window: number,
      { least, share, limit }: { readonly least: number; readonly share: number; readonly limit: number },
    ): Promise<{ granted: number; left: number }> {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const used = await take(organizationId, key, window, share, limit);
        if (used !== undefined) return { granted: share, left: limit - used };
        const found = await model.findOne({ organizationId, key }, { window: 1, used: 1 }, options).lean();
        if (!found || found.window < window) {
          if (await begin(organizationId, key, window, share)) return { granted: share, left: limit - share };
          continue;
        }
        const rest = limit - found.used;
        if (rest < least) return { granted: 0, left: Math.max(0, rest) };
        const granted = Math.min(rest, share);
        if ((await take(organizationId, key, window, granted, limit)) !== undefined) return { granted, left: rest - granted };
      }
      throw new Error('Too many copies are reserving at the same time.');
    },

    /** Deletes documents of windows before this one, a limited number at a time. Returns the number of deleted documents. */
    async sweep(window: number): Promise<number> {
      let swept = 0;
      for (const organizationId of await model.distinct('organizationId')) {
        const ended = { organizationId, window: { $lt: window } };
        const found = await model.find(ended, { _id: 1 }).limit(SWEEP_MAX).lean();
        if (found.length === 0) continue;
        swept += (await model.deleteMany({ ...ended, _id: { $in: found.map(({ _id }) => _id) } })).deletedCount;
      }
      return swept;
    },
  });
}
