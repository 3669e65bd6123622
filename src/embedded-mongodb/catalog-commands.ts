import { type Doc, decode, encode, toNumber, type Value } from './bson.ts';
import type { Collection } from './catalog.ts';
import { type Command, type Context, command, listed, namespaceOf, transactionalCommand } from './command.ts';
import { createCollection, createIndex, dropCollection, dropIndex } from './documents.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { equal } from './keys.ts';
import { parseOptions, required } from './options.ts';
import { partsOf } from './paths.ts';
import { type Filter, matches, parseFilter } from './query.ts';
import { collectionFor } from './writes.ts';

/** Commands about databases, collections and indexes. */

const indexOptions = {
  v: 'int',
  key: 'doc',
  name: 'string',
  unique: 'bool',
  background: 'bool',
  partialFilterExpression: 'doc',
} as const;

/** Validates an index of createIndexes, and returns it in the form that is stored. */
function specificationFor(index: Doc): Doc {
  const { v = 2, key, name, unique, partialFilterExpression: partial } = parseOptions('createIndexes.indexes', index, indexOptions);
  checkKey(required(key, 'createIndexes.indexes.key'));
  if (!name || name === '*' || name.includes('\0')) throw new CommandError(67, `The index name '${name}' is not valid`);
  if (v !== 2) throw unsupported(`index version ${v}`);
  if (partial) checkPartial(parseFilter(partial));
  const options = { ...(unique && { unique }), ...(partial && { partialFilterExpression: partial }) };
  return decode(encode({ v, key, name, ...options }));
}

function checkKey(key: Doc): void {
  if (!key.size || key.size > 32) throw new CommandError(67, 'An index has between 1 and 32 fields.');
  for (const [path, direction] of key) {
    if (typeof direction === 'string') throw unsupported(`an index of type ${direction}`);
    if (!toNumber(direction)) throw new CommandError(67, 'Values in an index key pattern must be numbers other than 0 or strings');
    partsOf(path);
  }
}

/** Validates the conditions of a partial index: only `and` combinations of simple conditions are supported. */
function checkPartial(filter: Filter): void {
  if (filter.kind === 'and') for (const part of filter.of) checkPartial(part);
  else if (filter.kind !== 'leaf' || !['eq', 'gt', 'gte', 'lt', 'lte', 'exists'].includes(filter.op)) {
    throw new CommandError(67, 'unsupported expression in partial index');
  }
}

/** Returns whether this index exists. @throws CommandError when an index with the same name or keys has different options */
function exists({ indexes }: Collection, wanted: Doc): boolean {
  return indexes.some(({ specification }) => {
    const isSame = (field: string) => equal(specification.get(field), wanted.get(field));
    const isSameKey = isSame('key') && isSame('partialFilterExpression');
    if (!isSame('name') && !isSameKey) return false;
    if (isSameKey && specification.get('name') === '_id_') return true;
    if (isSame('name') && isSameKey && isSame('unique')) return true;
    const code = isSame('name') && !isSame('key') ? 86 : 85;
    throw new CommandError(code, `An index with the same name or key already exists with different options: ${specification.get('name')}`);
  });
}

function collectionsOf({ storage, database }: Context): Collection[] {
  return [...storage.catalog.collections.values()].filter(({ namespace }) => namespace.startsWith(`${database}.`));
}

/** Returns a collection in the form of listCollections. */
function description({ namespace, indexes }: Collection): Doc {
  const name = namespace.slice(namespace.indexOf('.') + 1);
  const idIndex = indexes[0]!.specification;
  return decode(encode({ name, type: 'collection', options: {}, info: { readOnly: false }, idIndex }));
}

export const catalogCommands: [string, Command][] = [
  transactionalCommand('create', { create: 'string' }, (context, { create }) => {
    const namespace = namespaceOf(context, create);
    return context.write((view) => {
      // Since MongoDB 7.0, creating a collection again with the same options succeeds. No options are supported here.
      if (!view.collection(namespace)) createCollection(view, namespace);
      return {};
    });
  }),
  command('drop', { drop: 'string' }, (context, { drop }) => {
    const namespace = namespaceOf(context, drop);
    return context.write((view) => {
      const collection = view.collection(namespace);
      // Since MongoDB 7.0, dropping a collection that does not exist succeeds.
      if (!collection) return {};
      dropCollection(view, collection);
      return { nIndexesWas: collection.indexes.length, ns: namespace };
    });
  }),
  command('dropDatabase', { dropDatabase: 'int' }, (context) =>
    context.write((view) => {
      const collections = collectionsOf(context);
      for (const collection of collections) dropCollection(view, collection);
      return collections.length ? { dropped: context.database } : {};
    }),
  ),
  command('createIndexes', { createIndexes: 'string', indexes: 'docs', commitQuorum: 'any' }, (context, { createIndexes, indexes }) => {
    const namespace = namespaceOf(context, createIndexes);
    const specifications = required(indexes, 'createIndexes.indexes').map(specificationFor);
    if (!specifications.length) throw badValue('Must specify at least one index to create');
    return context.write((view) => {
      const existed = view.collection(namespace);
      let collection = existed ?? collectionFor(view, namespace);
      const numIndexesBefore = collection.indexes.length;
      for (const specification of specifications) {
        if (!exists(collection, specification)) collection = createIndex(view, collection, specification);
      }
      const numIndexesAfter = collection.indexes.length;
      const note = numIndexesAfter === numIndexesBefore ? { note: 'all indexes already exist' } : {};
      return { numIndexesBefore, numIndexesAfter, createdCollectionAutomatically: !existed, ...note };
    });
  }),
  command('dropIndexes', { dropIndexes: 'string', index: 'any' }, async (context, { dropIndexes, index: name }) => {
    const namespace = namespaceOf(context, dropIndexes);
    if (typeof name !== 'string' || name === '*') throw unsupported('dropping indexes other than one by its name');
    const reply = await context.write((view) => {
      const collection = view.collection(namespace);
      if (!collection) throw new CommandError(26, `ns not found ${namespace}`);
      if (name === '_id_') throw new CommandError(72, 'cannot drop _id index');
      const index = collection.indexes.find((each) => each.name === name);
      if (!index) throw new CommandError(27, `index not found with name [${name}]`);
      dropIndex(view, collection, index);
      return { nIndexesWas: collection.indexes.length };
    });
    // They could have read the rest of their documents from the index.
    context.cursors.killAll(namespace);
    return reply;
  }),
  command('listIndexes', { listIndexes: 'string', cursor: 'doc' }, (context, { listIndexes, cursor }) => {
    const namespace = namespaceOf(context, listIndexes);
    const collection = context.view.collection(namespace);
    if (!collection) throw new CommandError(26, `ns does not exist: ${namespace}`);
    const specifications = collection.indexes.map(({ specification }) => specification);
    return listed(context, namespace, specifications, cursor);
  }),
  command(
    'listCollections',
    { listCollections: 'any', filter: 'doc', nameOnly: 'bool', authorizedCollections: 'bool', cursor: 'doc' },
    (context, { filter = new Map(), nameOnly, cursor }) => {
      const found = parseFilter(filter);
      const documents = collectionsOf(context)
        .map(description)
        .filter((document) => matches(found, document));
      const shown = nameOnly ? documents.map((document) => new Map([...document].slice(0, 2))) : documents;
      return listed(context, `${context.database}.$cmd.listCollections`, shown, cursor);
    },
  ),
  command(
    'listDatabases',
    { listDatabases: 'any', filter: 'doc', nameOnly: 'bool', authorizedDatabases: 'bool' },
    (context, { filter = new Map(), nameOnly }) => {
      if (context.database !== 'admin') throw new CommandError(13, 'listDatabases may only be run against the admin database.');
      const found = parseFilter(filter);
      const names = new Set([...context.storage.catalog.collections.keys()].map((namespace) => namespace.split('.')[0]!));
      const databases = [...names]
        .sort()
        .map((name) => new Map<string, Value>([['name', name], ...(nameOnly ? [] : ([['empty', false]] as const))]));
      return { databases: databases.filter((database) => matches(found, database)) };
    },
  ),
];
