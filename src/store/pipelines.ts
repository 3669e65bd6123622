import { mongo, type PipelineStage } from 'mongoose';
import type { Document } from './record.ts';

/** Several pipelines in one command, and the documents that it returns, as bytes: what is known by its bytes need not be decoded. */

export type Stage = PipelineStage.UnionWithPipelineStage;

/** Combines pipelines into one: a tree of two levels, because some query planners are slow with long chains. */
export function union(collection: string, branches: readonly Stage[][]): Stage[] {
  const chain = ([first = [], ...others]: readonly Stage[][]): Stage[] => [
    ...first,
    ...others.map((pipeline) => ({ $unionWith: { coll: collection, pipeline } })),
  ];
  const width = Math.ceil(Math.sqrt(branches.length));
  const groups = Array.from({ length: Math.ceil(branches.length / width) }, (_, group) =>
    branches.slice(group * width, (group + 1) * width),
  );
  return chain(groups.map(chain));
}

/** A document as it is read, in BSON. */
export type Bytes = Uint8Array;

export function decoded(bytes: Bytes): Document {
  return mongo.BSON.deserialize(bytes);
}

/** The end of a document whose last field is `page`, a BSON integer of 32 bits. */
const PAGE_TAG = Buffer.from('\u0010page\u0000', 'latin1');

const PAGE_TAG_LENGTH = PAGE_TAG.length + 4;

/** Returns the documents of each page, without the number of the page, as they are stored. Those without a number belong to the page 0. */
export function untagged(found: readonly Bytes[], pages: readonly unknown[]): Bytes[][] {
  const byPage = pages.map((): Bytes[] => []);
  for (const bytes of found) {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = view.length - 1 - PAGE_TAG_LENGTH;
    if (end > 4 && view.compare(PAGE_TAG, 0, PAGE_TAG.length, end, end + PAGE_TAG.length) === 0) {
      const stored = new Uint8Array(end + 1);
      view.copy(stored, 0, 0, end);
      new DataView(stored.buffer).setInt32(0, stored.length, true);
      byPage[view.readInt32LE(end + PAGE_TAG.length)]?.push(stored);
    } else if (view.includes(PAGE_TAG)) {
      // Somebody else wrote a field of this name, and the number has replaced it.
      const { page, ...document } = decoded(bytes);
      byPage[Number(page ?? 0)]?.push(mongo.BSON.serialize(document));
    } else {
      byPage[0]!.push(bytes);
    }
  }
  return byPage;
}
