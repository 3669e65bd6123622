import { Binary, Int32 } from 'bson';
import { type Doc, encode, isDoc, toNumber, type Value } from './bson.ts';
import { type Collection, createIndex, dropIndex } from './catalog.ts';
import type { Command, Context } from './commands.ts';
import { CommandError, unsupported } from './errors.ts';
import { encodeKey } from './keys.ts';
import { parseOptions, required } from './options.ts';
import { type Filter, matches, parseFilter } from './query.ts';
import { collectionFor } from './writes.ts';

/** Commands about collections and indexes: what mongoose, mongosh and Compass ask before they do anything. */

const indexOptions = {
  v: 'int',
  key: 'doc',
  name: 'string',
  ns: 'string',
  unique: 'bool',
  sparse: 'bool',
  background: 'bool',
  partialFilterExpression: 'doc',
  expireAfterSeconds: 'refused',
  hidden: 'refused',
  collation: 'refused',
  storageEngine: 'refused',
  wildcardProjection: 'refused',
  prepareUnique: 'refused',
  clustered: 'refused',
  weights: 'refused',
  default_language: 'refused',
  language_override: 'refused',
  textIndexVersion: 'refused',
  '2dsphereIndexVersion': 'refused',
  bits: 'refused',
  min: 'refused',
  max: 'refused',
} as const;

/** Checks an index as createIndexes gets it, and returns it as it is kept. */
function specificationFor(index: Doc): Doc {
  const options = parseOptions('createIndexes.indexes', index, indexOptions);
  const key = required(options.key, 'createIndexes.indexes', 'key');
  if (!key.size) throw new CommandError(67, 'Index keys cannot be an empty object.');
  if (key.size > 32) throw new CommandError(67, 'Index key pattern has too many fields');
  for (const [path, direction] of key) {
    const number = toNumber(direction);
    if (typeof direction === 'string') {
      if (['text', '2d', '2dsphere', 'hashed', 'geoHaystack'].includes(direction)) throw unsupported(`an index of type ${direction}`);
      throw new CommandError(67, `Unknown index plugin '${direction}'`);
    }
    if (number === undefined || number === 0 || Number.isNaN(number))
      throw new CommandError(67, 'Values in v:2 index key pattern must be numbers other than 0 or strings');
    if (path.split('.').some((part) => !part)) throw new CommandError(67, 'Index keys cannot contain an empty field.');
    if (path.includes('$**')) throw unsupported('a wildcard index');
    if (path.split('.').some((part) => part.startsWith('$') && !['$id', '$ref', '$db'].includes(part)))
      throw new CommandError(67, `Index key contains an illegal field name: field name starts with '$'.`);
  }
  const name = required(options.name, 'createIndexes.indexes', 'name');
  if (!name || name === '*' || name.includes('\0')) throw new CommandError(67, `The index name '${name}' is not valid`);
  if (options.v !== undefined && options.v !== 2) throw unsupported(`index version ${options.v}`);
  const partial = options.partialFilterExpression;
  if (partial) checkPartial(parseFilter(partial));
  if (partial && options.sparse) throw new CommandError(67, 'cannot mix "partialFilterExpression" and "sparse" options');
  return new Map<string, Value>([
    ['v', new Int32(2)],
    ['key', key],
    ['name', name],
    ...(options.unique ? ([['unique', true]] as [string, Value][]) : []),
    ...(options.sparse ? ([['sparse', true]] as [string, Value][]) : []),
    ...(partial ? ([['partialFilterExpression', partial]] as [string, Value][]) : []),
  ]);
}

/** The conditions that MongoDB allows in a partial index. */
function checkPartial(filter: Filter, depth = 0): void {
  if (depth < 4 && (filter.kind === 'and' || filter.kind === 'or')) {
    for (const part of filter.of) checkPartial(part, depth + 1);
    return;
  }
  if (filter.kind === 'leaf' && ['eq', 'in', 'gt', 'gte', 'lt', 'lte', 'exists', 'type'].includes(filter.op)) return;
  throw new CommandError(67, 'unsupported expression in partial index');
}

async function createIndexes(context: Context, command: Doc) {
  const options = parseOptions('createIndexes', command, {
    createIndexes: 'string',
    indexes: 'docs',
    commitQuorum: 'any',
    ignoreUnknownIndexOptions: 'refused',
  });
  const namespace = `${context.database}.${required(options.createIndexes, 'createIndexes', 'createIndexes')}`;
  const specifications = required(options.indexes, 'createIndexes', 'indexes').map(specificationFor);
  if (!specifications.length) throw new CommandError(2, 'Must specify at least one index to create');
  return context.write((view) => {
    const existed = view.collection(namespace);
    let collection = existed ?? collectionFor(view, namespace);
    const before = collection.indexes.length;
    for (const specification of specifications) {
      if (!exists(collection, specification)) collection = createIndex(view, collection, specification);
    }
    return {
      numIndexesBefore: before,
      numIndexesAfter: collection.indexes.length,
      createdCollectionAutomatically: !existed,
      ...(collection.indexes.length === before && { note: 'all indexes already exist' }),
    };
  });
}

/** Whether the very index is there; one of the same name or the same keys but other options is an error. */
function exists(collection: Collection, wanted: Doc): boolean {
  for (const { specification } of collection.indexes) {
    const sameName = specification.get('name') === wanted.get('name');
    const same = (field: string) => encodeKey([specification.get(field)]).equals(encodeKey([wanted.get(field)]));
    const sameKey = same('key');
    const sameFilter = same('partialFilterExpression');
    const sameOptions = specification.get('name') === '_id_' || (same('unique') && same('sparse'));
    if (sameName && sameKey && sameFilter && sameOptions) return true;
    if (sameKey && sameFilter && specification.get('name') === '_id_') return true;
    if (sameKey && sameFilter && !sameName && sameOptions) {
      throw new CommandError(85, `Index already exists with a different name: ${specification.get('name')}`);
    }
    if (sameName) {
      throw new CommandError(
        sameKey ? 85 : 86,
        `An existing index has the same name as the requested index. Requested index: ${wanted.get('name')}, existing index: ${specification.get('name')}`,
      );
    }
    if (sameKey && sameFilter)
      throw new CommandError(
        85,
        `An equivalent index already exists with the same name but different options: ${specification.get('name')}`,
      );
  }
  return false;
}

async function dropIndexes(context: Context, command: Doc) {
  const options = parseOptions('dropIndexes', command, { dropIndexes: 'string', deleteIndexes: 'string', index: 'any' });
  const namespace = `${context.database}.${options.dropIndexes ?? options.deleteIndexes}`;
  return context.write((view) => {
    let collection = view.collection(namespace);
    if (!collection) throw new CommandError(26, `ns not found ${namespace}`);
    const before = collection.indexes.length;
    const wanted = options.index;
    for (const one of Array.isArray(wanted) ? wanted : [wanted]) {
      const found: typeof collection.indexes = collection.indexes.filter((index) =>
        one === '*'
          ? index.name !== '_id_'
          : isDoc(one)
            ? encodeKey([index.specification.get('key')]).equals(encodeKey([one]))
            : index.name === one,
      );
      if (!found.length && one !== '*')
        throw new CommandError(27, isDoc(one) ? "can't find index with key" : `index not found with name [${one}]`);
      if (found.some((index) => index.name === '_id_')) throw new CommandError(72, 'cannot drop _id index');
      for (const index of found) collection = dropIndex(view, collection, index);
    }
    return { nIndexesWas: before };
  });
}

function listIndexes(context: Context, command: Doc) {
  const options = parseOptions('listIndexes', command, {
    listIndexes: 'string',
    cursor: 'doc',
    includeBuildUUIDs: 'refused',
    includeIndexBuildInfo: 'refused',
  });
  const namespace = `${context.database}.${options.listIndexes}`;
  const collection = context.view.collection(namespace);
  if (!collection) throw new CommandError(26, `ns does not exist: ${namespace}`);
  return {
    cursor: context.cursors.first(
      namespace,
      collection.indexes.map((index) => encode(index.specification)),
      context,
      batch(options.cursor),
    ),
  };
}

function batch(cursor: Doc | undefined): { batchSize?: number | undefined } {
  return cursor ? parseOptions('cursor', cursor, { batchSize: 'int' }) : {};
}

function listCollections(context: Context, command: Doc) {
  const options = parseOptions('listCollections', command, {
    listCollections: 'any',
    filter: 'doc',
    nameOnly: 'bool',
    authorizedCollections: 'bool',
    cursor: 'doc',
  });
  const filter = parseFilter(options.filter ?? new Map());
  const documents: Doc[] = [];
  for (const { namespace, uuid, indexes } of context.store.catalog.collections.values()) {
    if (!namespace.startsWith(`${context.database}.`)) continue;
    const info: Doc = new Map<string, Value>([
      ['readOnly', false],
      ['uuid', new Binary(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 4)],
    ]);
    const full: Doc = new Map<string, Value>([
      ['name', namespace.slice(context.database.length + 1)],
      ['type', 'collection'],
      ['options', new Map()],
      ['info', info],
      ['idIndex', indexes[0]!.specification],
    ]);
    if (!matches(filter, full)) continue;
    documents.push(options.nameOnly ? new Map([...full].slice(0, 2)) : full);
  }
  return {
    cursor: context.cursors.first(`${context.database}.$cmd.listCollections`, documents.map(encode), context, batch(options.cursor)),
  };
}

function listDatabases(context: Context, command: Doc) {
  const options = parseOptions('listDatabases', command, {
    listDatabases: 'any',
    filter: 'doc',
    nameOnly: 'bool',
    authorizedDatabases: 'bool',
  });
  if (context.database !== 'admin') throw new CommandError(13, 'listDatabases may only be run against the admin database.');
  const filter = parseFilter(options.filter ?? new Map());
  const names = new Set([...context.store.catalog.collections.keys()].map((namespace) => namespace.split('.')[0]!));
  const databases = [...names]
    .sort()
    .map((name) => new Map<string, Value>([['name', name], ...(options.nameOnly ? [] : ([['empty', false]] as [string, Value][]))]))
    .filter((database) => matches(filter, database));
  return { databases };
}

export const indexCommands: [string, Command][] = [
  ['createIndexes', { options: {}, run: createIndexes }],
  ['dropIndexes', { options: {}, run: dropIndexes }],
  ['deleteIndexes', { options: {}, run: dropIndexes }],
  ['listIndexes', { options: {}, run: listIndexes }],
  ['listCollections', { options: {}, run: listCollections }],
  ['listDatabases', { options: {}, run: listDatabases }],
];
