import { decode } from '../../src/embedded-mongodb/bson.ts';
import { Catalog, keyIn } from '../../src/embedded-mongodb/catalog.ts';
import { entriesOf } from '../../src/embedded-mongodb/documents.ts';
import { openFile } from '../../src/embedded-mongodb/file.ts';
import { Storage } from '../../src/embedded-mongodb/storage.ts';

/** Reads a data file and throws unless every index holds exactly the entries that its documents would make. */
export async function checkDataFile(path: string): Promise<{ documents: number; entries: number }> {
  const db = openFile(path);
  db.resetReadTxn();
  const store = new Storage(db, () => {});
  const view = store.latest;
  const catalog = new Catalog();
  catalog.load(view);
  let [documents, entries] = [0, 0];
  for (const collection of catalog.collections.values()) {
    const expected = new Map(collection.indexes.map((index) => [index, new Set<string>()]));
    for (const { key, value } of view.range(keyIn(collection.id), keyIn(collection.id + 1))) {
      documents++;
      for (const index of collection.indexes) {
        for (const { fields } of entriesOf(view, index, decode(value))) {
          expected.get(index)!.add(Buffer.concat([fields, Buffer.from('|'), key.subarray(4)]).toString('latin1'));
        }
      }
    }
    for (const index of collection.indexes) {
      const wanted = expected.get(index)!;
      for (const { key, value } of view.range(keyIn(index.id), keyIn(index.id + 1))) {
        entries++;
        const [fields, record] = index.unique ? [key.subarray(4), value] : [key.subarray(4, -8), key.subarray(-8)];
        const found = Buffer.concat([fields, Buffer.from('|'), record]).toString('latin1');
        if (!wanted.delete(found))
          throw new Error(
            `${collection.namespace} ${index.name}: an entry that no document makes: ${Buffer.from(found, 'latin1').toString('hex')}`,
          );
      }
      if (wanted.size) throw new Error(`${collection.namespace} ${index.name}: ${wanted.size} entries are missing`);
    }
  }
  if (store.flags.length) throw new Error('an index holds arrays and is not marked as multikey');
  await db.close();
  return { documents, entries };
}
