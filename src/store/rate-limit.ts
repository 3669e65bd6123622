import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import { number, tenantSchema, text } from './fields.ts';
import { newId } from './records.ts';

/** Stands for the organization of those who have none. No organization's name begins so. */
export const NO_ORGANIZATION = '-';

/** How long a reservation may take; the caller has another way. */
const RESERVE_MS = 2_000;
const ATTEMPTS = 8;
const SWEEP_MAX = 1_000;

/** What a spender has taken of its rate limit in the current window: one document each, which rolls over from window to window. */
export function rateLimitStore(database: Database) {
  const schema = tenantSchema({
    key: text(),
    /** Windows are numbered by time. */
    window: number(),
    used: number(),
  });
  schema.index({ organizationId: 1, key: 1 }, { unique: true });
  schema.index({ organizationId: 1, window: 1 });
  const model = database.model('RateLimit', schema, 'rateLimits');
  const options = { timeoutMS: RESERVE_MS };

  /** Adds to what was used, if it then is at most `most`. A window that has begun on another copy's clock has begun. */
  async function take(organizationId: string, key: string, window: number, amount: number, most: number): Promise<number | undefined> {
    const filter = { organizationId, key, window: { $gte: window }, used: { $lte: most - amount } };
    const taken = await model.findOneAndUpdate(filter, { $inc: { used: amount } }, { ...options, returnDocument: 'after' }).lean();
    return taken?.used;
  }

  /** Begins a window in which `amount` is used already. False: another did. */
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
     * Takes a share of what the key may use in the window: `share`, or the rest when that is less, or nothing when the rest is less than
     * `least`. One atomic write in the steady state. Answers what was taken, and what is left after it.
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
      throw new Error('Too many copies reserve at once.');
    },

    /** Deletes what belongs to windows that ended before this one, some of it at a time. Answers how many. */
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
