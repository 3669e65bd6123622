import type { Model } from 'mongoose';

/** No document of the database is as large. */
const BYTES_MAX = 2 ** 31 - 1;

/** Returns the size of a document as it was counted. Somebody else can have written it: what is not a size counts as 0. */
export function countedBytes(bytes: unknown): number {
  return typeof bytes === 'number' && bytes >= 0 && bytes <= BYTES_MAX ? bytes : 0;
}

/** Returns the sum of `countedBytes` of the documents that match. */
export async function sumOfBytes(model: Pick<Model<Record<string, unknown>>, 'aggregate'>, conditions: object): Promise<number> {
  const [found] = await model.aggregate<{ bytes: number }>([
    { $match: { $and: [conditions, { bytes: { $gte: 0, $lte: BYTES_MAX } }] } },
    { $group: { _id: null, bytes: { $sum: '$bytes' } } },
  ]);
  // A list that contains a size matches, too, but is not added.
  return Number.isFinite(found?.bytes) ? found!.bytes : 0;
}
