import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from './bson.ts';
import { Catalog, type Collection, type Index, keyIn } from './catalog.ts';
import { unsealed } from './checksum.ts';
import { entriesOf } from './documents.ts';
import { openFile } from './file.ts';
import { Storage } from './storage.ts';

/** What a check has found. */
export interface CheckResult {
  collections: number;
  documents: number;
  indexEntries: number;
  /** What is damaged, in words, without any data. Empty if nothing is. */
  damage: string[];
}

/** A longer list would not help anyone. */
const maxDamage = 100;

/** See `checkEmbeddedMongodb`. */
export async function check({ directory }: { directory: string }): Promise<CheckResult> {
  const path = join(directory, 'data.mdb');
  if (!existsSync(path)) throw new Error(`there is no data in ${directory}`);
  const result: CheckResult = { collections: 0, documents: 0, indexEntries: 0, damage: [] };
  const report = (what: string) => {
    if (result.damage.length < maxDamage) result.damage.push(what);
  };
  // This checks the structure of the file.
  const db = openFile(path);
  db.resetReadTxn();
  const transaction = db.useReadTransaction();
  try {
    // Every checksum first: what follows reads with these checks and would stop at the first error.
    let damagedEntries = 0;
    for (const { key, value } of db.getRange({ start: keyIn(1), transaction }) as Iterable<{ key: Buffer; value: Buffer }>) {
      try {
        unsealed(key, value);
      } catch {
        damagedEntries++;
      }
    }
    if (damagedEntries) report(`${damagedEntries} entries do not have their checksum`);
    else checkCollections(new Storage(db, () => {}), transaction, result, report);
  } catch (error) {
    report((error as Error).message);
  } finally {
    transaction.done();
    await db.close();
  }
  return result;
}

type Transaction = ReturnType<Storage['db']['useReadTransaction']>;

function checkCollections(storage: Storage, snapshot: Transaction, result: CheckResult, report: (what: string) => void): void {
  const view = storage.viewOf(snapshot);
  const catalog = new Catalog();
  catalog.load(view);
  const known = new Set<number>();
  for (const collection of catalog.collections.values()) {
    result.collections++;
    for (const { id } of [collection, ...collection.indexes]) known.add(id);
    for (const index of collection.indexes) {
      const expected = expectedEntries(storage, view, collection, index);
      let extra = 0;
      for (const { key, value } of view.range(keyIn(index.id), keyIn(index.id + 1))) {
        result.indexEntries++;
        const entry = index.unique ? textOf(key, value) : textOf(key.subarray(0, -8), key.subarray(-8));
        if (!expected.delete(entry)) extra++;
      }
      const name = `${collection.namespace}, index ${index.name}`;
      if (extra) report(`${name}: ${extra} entries belong to no document`);
      if (expected.size) report(`${name}: ${expected.size} entries are missing`);
    }
    for (const _ of view.range(keyIn(collection.id), keyIn(collection.id + 1))) result.documents++;
  }
  if (storage.flags.length) report('an index contains arrays and is not marked so');
  for (const { key } of view.range(keyIn(16), Buffer.alloc(4, 0xff))) {
    if (known.has(key.readUInt32BE())) continue;
    report('entries belong to no collection');
    break;
  }
}

/** Returns the entries that the documents of a collection have in an index. */
function expectedEntries(storage: Storage, view: Storage['latest'], collection: Collection, index: Index): Set<string> {
  const entries = new Set<string>();
  for (const { key, value } of view.range(keyIn(collection.id), keyIn(collection.id + 1))) {
    for (const { fields } of entriesOf(storage.latest, index, decode(value))) entries.add(textOf(keyIn(index.id, fields), key.subarray(4)));
  }
  return entries;
}

const textOf = (key: Buffer, record: Buffer) => Buffer.concat([key, Buffer.from('|'), record]).toString('latin1');
