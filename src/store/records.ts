import { type Model, mongo, type PipelineStage, Types } from 'mongoose';
import { type Noun, type NounName, nounTable } from '../access/nouns.ts';
import { AlteredRecordError, ConflictError, TimeoutError } from '../errors.ts';
import { isMacOf, macOf } from '../secrets/record-mac.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translate, translatingErrors } from './database.ts';
import { both, type Conditions, type Extent, isWithin, refuseBeyond, within } from './extent.ts';
import { date, type Fields, fitting, number, optional, tenantSchema, text, type ValuesOf } from './fields.ts';
import { globCondition } from './glob.ts';
import { countedBytes, sumOfBytes } from './sizes.ts';
import { newTouch } from './touch.ts';

/** The fields of every record, besides its ids. */
export const baseFields = {
  /** 1 after creation, incremented by each update. */
  version: number(),
  createdAt: date(),
  updatedAt: date(),
};

/** The fields of every record. Ids are 24 hexadecimal digits. Records are plain objects; mongoose documents stay in `store/`. */
export interface BaseRecord extends ValuesOf<typeof baseFields> {
  readonly id: string;
  readonly organizationId: string;
  /**
   * Present if the stored record is not as the gateway wrote it. It may be shown and deleted, and nothing else: whatever it says, somebody else
   * may have written. Only `evenAltered` returns such records, and values that do not fit their type are replaced.
   */
  readonly isAltered?: true;
}

/** A record of a noun with these fields. */
export type RecordOf<F extends Fields> = BaseRecord & ValuesOf<F>;

/** Not part of records. */
const bookkeeping = {
  /** It is written to conflict with a transaction that deletes the record. */
  touches: optional(number()),
  /** The size of the record in bytes, as it was counted. */
  bytes: optional(number()),
  /** Authenticates the rest of the document. */
  mac: optional(text()),
};
/** A smaller change of the size of a record is not counted, in bytes. */
const BYTES_STEP = 256;

/** The stored form of a record. */
type Stored<R extends BaseRecord> = Omit<R, 'id' | 'isAltered'> & { readonly _id: string } & ValuesOf<typeof bookkeeping>;

/** A document as it is read: anybody who can write to the database can have written it. */
type Document = Readonly<Record<string, unknown>>;

/**
 * Selects records whose fields equal the given values and whose name matches the glob. If the given value is a list, one of its items must
 * match. If the field is a list, it must contain a match. No value may be undefined.
 */
export type Filter<R extends BaseRecord> = {
  readonly [K in keyof R]?: NonNullable<R[K]> extends readonly (infer Item)[] ? Item | readonly Item[] : R[K] | readonly R[K][];
} & { readonly nameGlob?: string /** Inclusive. */; readonly createdSince?: Date /** Exclusive. */; readonly createdBefore?: Date };

/** The last record before a page, as encoded in a cursor: its value of the sort field, and its id. */
export interface PageStart {
  readonly value: string | Date;
  readonly id: string;
}

/** The requested part of a list. */
export interface PageRequest<SortField extends string = string> {
  /** The maximum number of records. */
  readonly limit: number;
  readonly sortField: SortField;
  readonly descending: boolean;
  readonly after?: PageStart;
  /** If given, the page consists of the last `limit` records before this record. */
  readonly before?: PageStart;
}

/** A page of a list, in the requested order. */
export interface Page<R> {
  readonly records: readonly R[];
  /** Whether more records follow the page, in the direction of reading. */
  readonly hasMore: boolean;
}

/** A page to read: the filter of the list, and the requested part. */
export interface PageOf<R extends BaseRecord> {
  readonly filter: Filter<R>;
  readonly request: PageRequest;
}

/** Returns a new id. */
export function newId(): string {
  return new Types.ObjectId().toHexString();
}

/** Creates the schema of a record: the noun's own fields, and those of all records. */
export function recordSchema<F extends Fields>(fields: F) {
  return tenantSchema({ ...baseFields, ...bookkeeping, ...fields });
}

/** Reads and writes the records of one noun, within an extent only. */
export type RecordStore<R extends BaseRecord> = ReturnType<ReturnType<typeof recordStore<R>>>;

/** The functions that read records. */
export type RecordReads<R extends BaseRecord> = Pick<RecordStore<R>, 'all' | 'byIds' | 'one' | 'page' | 'pages'>;

/** What to do with an altered record: refuse to return it, or return it for display. */
type Altered = 'refused' | 'shown';

interface RecordStoreOptions<R extends BaseRecord> {
  readonly noun: NounName;
  /** The noun's own fields. */
  readonly fields: Fields;
  /**
   * How the records are authenticated. The MAC covers everything in a stored document except `touches`, `bytes` and the fields in `unauthenticated`, so
   * a new field is covered. Null if the noun has its own way.
   */
  readonly authenticity: Authenticity | null;
  /** Fields that the MAC does not cover: they decide nothing, and are written without reading the record. Values that do not fit their type are read as blank. */
  readonly unauthenticated?: readonly (keyof R & string)[];
  /** The field that globs match. `name` by default. */
  readonly nameField?: string;
  /** A condition that every read adds, such as "not yet expired", and the same as a function of a record. */
  readonly visible?: { readonly condition: () => Conditions; readonly holds: (record: R) => boolean };
}

/**
 * Returns a function that creates the store of one noun's records for an extent.
 *
 * Every record is stored with a MAC, and every read verifies it. A record that does not verify is refused, so no rule can be based on it. Only
 * the reads in `evenAltered` return it, for display and deletion, and not to a limited viewer: nothing proves that it belongs to this viewer.
 */
export function recordStore<R extends BaseRecord>(
  database: Database,
  model: Model<Stored<R>>,
  { noun, fields, authenticity, unauthenticated = [], nameField = 'name', visible }: RecordStoreOptions<R>,
) {
  // The fields of a noun are data here, so mongoose's exact types for filters and updates cannot be used. `strict` checks them at run time.
  const anyModel = model as unknown as Model<Record<string, unknown>>;
  const allFields = { ...baseFields, ...fields };
  // Anybody who can write to the database can have written these: what does not fit its type is read as blank.
  const unproven = authenticity ? Object.fromEntries(unauthenticated.map((name) => [name, fields[name]!])) : allFields;
  const toRecord = ({ _id, touches: _, bytes: __, mac: ___, ...rest }: Document) =>
    ({ id: _id, ...rest, ...fitting(unproven, rest) }) as unknown as R;
  const { collectionName } = model.collection;
  const { label, storedLimit } = nounTable[noun];
  const isCounted = storedLimit !== null;

  /** Returns the part of a document that the MAC covers. */
  function authenticated({ touches: _, bytes: __, mac: ___, ...document }: Document): Document {
    const covered: Record<string, unknown> = document;
    for (const field of unauthenticated) delete covered[field];
    return covered;
  }

  /** Returns a record for display, with values that fit their types. */
  function shownAltered(document: Document, organizationId: string): R {
    const { _id: id } = document;
    return { ...fitting(allFields, document), id, organizationId, isAltered: true } as unknown as R;
  }

  /** Returns the values of some fields as mongoose will store them, and checks them. */
  async function cast(values: object): Promise<Document> {
    const document = new anyModel(values);
    const names = Object.keys(values);
    await document.validate(names);
    const stored = storedForm(document.toObject({ minimize: false, transform: false, virtuals: false }));
    return Object.fromEntries(names.filter((name) => name in stored).map((name) => [name, stored[name]]));
  }

  /** @throws Error when a document has a field that is not known, or lacks one that mongoose would require */
  function refuseUnfit(document: Document): void {
    const known: Fields = allFields;
    for (const name of Object.keys(document)) {
      if (name !== '_id' && name !== 'organizationId' && !(name in known)) throw new Error('A new record has a field that is not known.');
    }
    for (const [name, { definition }] of Object.entries(known)) {
      if (definition.required && (document[name] === undefined || document[name] === null)) {
        throw new Error(`A new record lacks the field ${name}.`);
      }
    }
  }

  return (extent: Extent) => {
    const { organizationId, confines } = extent;
    const isConfined = confines === 'nothing' || Object.keys(confines).length > 0;
    const written = (filter: Filter<R> | Filter<BaseRecord>) => both(within(extent), conditionsOf(filter, nameField));
    const readable = (filter: Filter<R> | Filter<BaseRecord>) => both(written(filter), visible?.condition() ?? {});

    /** Returns the MAC of a document. */
    async function macFor(document: Document): Promise<object> {
      return authenticity ? { mac: macOf(await authenticity.key(organizationId), noun, authenticated(document)) } : {};
    }

    /** Reports an altered record. Returns its id, or null if it has none. */
    function report({ _id }: Document): string | null {
      const id = isId(_id) ? _id : null;
      // Only nouns whose records have ids are authenticated.
      authenticity?.report({ organizationId, noun: noun as Noun, id });
      return id;
    }

    /** Returns a function that returns whether a document is as the gateway wrote it. */
    async function authenticator(): Promise<(document: Document) => boolean> {
      // What is not authenticated here must at least have its types, so that it can be shown.
      if (!authenticity)
        return (document) => isId(document._id) && Object.entries(allFields).every(([name, { fits }]) => fits(document[name]));
      const key = await authenticity.key(organizationId);
      return (document) => document.organizationId === organizationId && isMacOf(key, noun, authenticated(document), document.mac);
    }

    /**
     * Returns the records of the documents that a query found. A document can have the same field twice, and then the database compares the
     * one and the driver returns the other: so what the query asked for is checked again.
     */
    async function recordsOf(found: readonly Document[], filter: Filter<R> | Filter<BaseRecord>, altered: Altered): Promise<R[]> {
      if (found.length === 0) return [];
      const isAuthentic = await authenticator();
      const records: R[] = [];
      for (const document of found) {
        const record = toRecord(document);
        if (isAuthentic(document) && isWithin(extent, record) && matches(record, filter)) {
          if (!visible || visible.holds(record)) records.push(record);
          continue;
        }
        const id = report(document);
        if (isConfined || id === null) continue;
        if (altered === 'refused' && authenticity) throw new AlteredRecordError(label);
        records.push(shownAltered(document, organizationId));
      }
      return records;
    }

    async function pages(asked: readonly PageOf<R>[], altered: Altered): Promise<Page<R>[]> {
      const branches = asked.flatMap(({ filter, request }, page) =>
        ranges(request).map((range): Stage[] => [
          { $match: both(readable(filter), range) },
          { $sort: order(request) },
          // One more than requested, to know whether there are more.
          { $limit: request.limit + 1 },
          ...(asked.length > 1 ? [{ $addFields: { page } }] : []),
        ]),
      );
      const found: Record<string, unknown>[] = await anyModel
        .aggregate(union(collectionName, branches))
        .option({ maxTimeMS: database.readTimeMs });
      const result: Page<R>[] = [];
      for (const [index, { filter, request }] of asked.entries()) {
        const own = asked.length > 1 ? found.filter(({ page }) => page === index).map(({ page: _, ...rest }) => rest) : found;
        // A record without a valid value of the sort field would have a cursor that leads anywhere.
        const sortable = own.filter((document) => (allFields as Fields)[request.sortField]?.fits(document[request.sortField]) ?? true);
        const records = (await recordsOf(sortable, filter, altered)).sort(comparing(request)).slice(0, request.limit);
        if (request.before) records.reverse();
        result.push({ records, hasMore: own.length > request.limit });
      }
      return result;
    }

    /** Returns the functions that read. */
    const reads = (altered: Altered) =>
      translatingErrors({
        /** Returns the records with these ids that exist, in any order. */
        async byIds(ids: readonly string[]): Promise<R[]> {
          const filter = { id: ids };
          const found = await anyModel.find(readable(filter)).maxTimeMS(database.readTimeMs).lean();
          return recordsOf(found, filter, altered);
        },

        /** Returns all records that match, in any order, in one command. The caller makes sure that there are few. */
        async all(filter: Filter<R>): Promise<R[]> {
          const found = await anyModel.find(readable(filter)).maxTimeMS(database.readTimeMs).lean();
          return recordsOf(found, filter, altered);
        },

        async one(filter: Filter<R>): Promise<R | null> {
          const found = await anyModel.findOne(readable(filter)).maxTimeMS(database.readTimeMs).lean();
          return (found && (await recordsOf([found], filter, altered))[0]) ?? null;
        },

        async page(filter: Filter<R>, request: PageRequest): Promise<Page<R>> {
          return (await pages([{ filter, request }], altered))[0]!;
        },

        /** Reads many pages in one command, such as the first connections of fifty end users. The database limits each page. */
        pages: (asked: readonly PageOf<R>[]): Promise<Page<R>[]> => pages(asked, altered),
      });

    return {
      /** The same reads for display and deletion: altered records are returned, marked with `isAltered`. */
      evenAltered: reads('shown'),
      /** @throws AlteredRecordError when a record that was found is altered */
      ...reads('refused'),
      ...translatingErrors({
        /** Counts the matches of each filter in one command. Null for counts greater than `most`; all are null if counting takes too long. */
        async counts(filters: readonly Filter<R>[], most: number): Promise<(number | null)[]> {
          const branches = filters.map((filter, index): Stage[] => [
            { $match: readable(filter) },
            { $limit: most + 1 },
            { $count: 'count' },
            { $addFields: { index } },
          ]);
          try {
            const found: { count: number; index: number }[] = await anyModel
              .aggregate(union(collectionName, branches))
              .option({ maxTimeMS: COUNT_TIME_MS });
            return filters.map((_, index) => {
              const count = found.find((each) => each.index === index)?.count ?? 0;
              return count > most ? null : count;
            });
          } catch (error) {
            if (translate(error) instanceof TimeoutError) return filters.map(() => null);
            throw error;
          }
        },

        /** @throws Error when the record is outside the extent */
        async insert(record: R): Promise<R> {
          refuseBeyond(extent, record);
          const { id, ...rest } = record;
          const document = new anyModel({ ...rest, _id: id, organizationId });
          const stored = storedForm(document.toObject({ minimize: false, transform: false, virtuals: false }));
          document.set(await macFor(stored));
          if (!isCounted) {
            await anyModel.create([document]);
            return toRecord(stored);
          }
          const bytes = mongo.BSON.calculateObjectSize(stored);
          document.set({ bytes });
          await anyModel.create([document]);
          const owner = 'endUserId' in record ? (record.endUserId as string | null) : null;
          await database.account(organizationId, { [collectionName]: 1, bytes }, owner);
          return toRecord(stored);
        },

        /**
         * Inserts many records with one command, without mongoose documents, which take most of the time. The records must have all fields, with
         * values of their types.
         *
         * @throws Error when one is outside the extent, or has an unknown or a missing field
         */
        async insertAll(records: readonly R[]): Promise<void> {
          if (records.length === 0) return;
          const documents: Document[] = [];
          const owners = new Set<string | null>();
          let bytes = 0;
          for (const record of records) {
            refuseBeyond(extent, record);
            const { id, ...rest } = record;
            const stored = storedForm({ ...rest, _id: id, organizationId });
            refuseUnfit(stored);
            const size = mongo.BSON.calculateObjectSize(stored);
            documents.push({ ...stored, ...(await macFor(stored)), ...(isCounted && { bytes: size }) });
            if ('endUserId' in record) owners.add(record.endUserId as string | null);
            bytes += size;
          }
          await anyModel.insertMany(documents as Record<string, unknown>[], { lean: true });
          if (!isCounted) return;
          await database.account(organizationId, { [collectionName]: documents.length, bytes });
          for (const owner of owners) if (owner !== null) await database.account(organizationId, {}, owner);
        },

        /**
         * Writes the changes if the stored record still has the version of the given one, which must have been read in the same transaction.
         * Returns the changed record. The new MAC covers what was read and the changes: if the stored record has become another in the meantime,
         * it stays altered.
         *
         * @throws ConflictError when the version is another; AlteredRecordError
         */
        async update(record: R, changes: Partial<Omit<R, keyof BaseRecord>>, updatedAt: Date): Promise<R> {
          if (record.isAltered) throw new AlteredRecordError(label);
          const { id, version, ...rest } = record;
          const set = { ...(await cast(changes)), version: version + 1, updatedAt };
          const merged = { ...rest, _id: id, ...set };
          const mac = await macFor(merged);
          const old = await anyModel
            .findOneAndUpdate(both(written({ id }), { version }), { $set: { ...set, ...mac } }, { projection: { bytes: 1 } })
            .lean();
          if (!old) throw new ConflictError('The object was changed by another request at the same time.', []);
          const bytes = mongo.BSON.calculateObjectSize(merged);
          const grown = bytes - countedBytes(old.bytes);
          if (isCounted && Math.abs(grown) >= BYTES_STEP) {
            await anyModel.updateOne(written({ id }), { $set: { bytes } });
            await database.account(organizationId, { bytes: grown });
          }
          return { ...record, ...set } as R;
        },

        /** Writes the record without changing it, so that this transaction and one that deletes it cannot both commit. */
        async touch(id: string): Promise<boolean> {
          const result = await anyModel.updateOne(written({ id }), { $set: { touches: newTouch() } });
          return result.matchedCount === 1;
        },

        /** Does the same for many records, with one command. */
        async touchAll(ids: readonly string[]): Promise<void> {
          if (ids.length > 0) await anyModel.updateMany(written({ id: ids }), { $set: { touches: newTouch() } });
        },

        /** Returns the ids of all matching records, including those that reads hide. */
        async ids(filter: Filter<R>): Promise<string[]> {
          const found = await anyModel.find(written(filter), { _id: 1 }).lean();
          return found.map(({ _id }) => _id as string);
        },

        /** Deletes all matching records, including those that reads hide. */
        async remove(filter: Filter<R>): Promise<number> {
          if (!isCounted) return (await anyModel.deleteMany(written(filter))).deletedCount;
          const bytes = await sumOfBytes(anyModel, written(filter));
          const { deletedCount } = await anyModel.deleteMany(written(filter));
          if (deletedCount > 0) await database.account(organizationId, { [collectionName]: -deletedCount, bytes: -bytes });
          return deletedCount;
        },

        /**
         * Authenticates records that an earlier version wrote, whatever they say: at most `limit` after an id, in one transaction. Only the
         * migration calls it. `complete` returns what a record lacks, and writes what belongs to it.
         */
        async adopt(
          after: string,
          limit: number,
          complete: (record: R) => Promise<Partial<R>> = async () => ({}),
        ): Promise<{ readonly adopted: number; readonly last: string | null }> {
          return database.transaction(async () => {
            const found: Document[] = await anyModel
              .find(both(within(extent), { _id: { $gt: after } }))
              .sort({ _id: 1 })
              .limit(limit)
              .lean();
            const isAuthentic = await authenticator();
            let adopted = 0;
            for (const document of found) {
              // An earlier run has authenticated it.
              if (isAuthentic(document)) continue;
              const set = await complete(toRecord(document));
              const mac = await macFor({ ...document, ...set });
              await anyModel.updateOne({ organizationId, _id: document._id }, { $set: { ...set, ...mac } });
              adopted++;
            }
            return { adopted, last: found.length < limit ? null : String(found.at(-1)!._id) };
          });
        },

        /** Returns the ids of those documents of the extent that are as the gateway wrote them, and reports the others. */
        async authenticIds(found: readonly object[]): Promise<string[]> {
          if (found.length === 0) return [];
          const isAuthentic = await authenticator();
          const documents = found as readonly Document[];
          for (const document of documents) if (!isAuthentic(document)) report(document);
          return documents.filter(isAuthentic).map(({ _id }) => String(_id));
        },

        /** Verifies records, including those that reads hide: at most `limit` after an id. Returns the ids of the altered ones. */
        async findAltered(
          after: string,
          limit: number,
        ): Promise<{ readonly altered: readonly string[]; readonly intact: readonly R[]; readonly last: string | null }> {
          const found: Document[] = await anyModel
            .find(both(within(extent), { _id: { $gt: after } }))
            .sort({ _id: 1 })
            .limit(limit)
            .lean();
          const isAuthentic = await authenticator();
          const altered = found.filter((document) => !isAuthentic(document)).map(({ _id }) => String(_id));
          const intact = found.filter(isAuthentic).map(toRecord);
          return { altered, intact, last: found.length < limit ? null : String(found.at(-1)!._id) };
        },
      }),
    };
  };
}

/** Ids are 24 hexadecimal digits. Only such records can be shown, because only they have a global id. */
export function isId(id: unknown): id is string {
  return typeof id === 'string' && /^[0-9a-f]{24}$/.test(id);
}

/** Returns whether a record has the values that a filter asks for. Globs and times are left to the database. */
function matches(record: BaseRecord, filter: object): boolean {
  const { nameGlob: _, createdSince: _since, createdBefore: _before, ...equalities } = filter as Filter<BaseRecord>;
  return Object.entries(equalities).every(([field, wanted]) => {
    const values: unknown[] = [(record as unknown as Document)[field] ?? null].flat();
    return [wanted].flat().some((each) => values.some((value) => isSame(value, each)));
  });
}

function isSame(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b;
}

/** Returns a document as it is stored: without fields that are undefined. */
function storedForm(document: Document): Document {
  return Object.fromEntries(
    Object.entries(document)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, withoutUndefined(value)]),
  );
}

/** The driver stores undefined within a value as null. */
function withoutUndefined(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutUndefined(inner)]));
}

type Stage = PipelineStage.UnionWithPipelineStage;

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

/** Whether a value may stand in a filter as it is. */
function isPlain(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value) || value instanceof Date;
}

function conditionsOf(filter: object, nameField: string): Conditions {
  const { nameGlob, createdSince, createdBefore, ...equalities } = filter as Filter<BaseRecord>;
  const conditions: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(equalities)) {
    // A condition that is missing would find everything, and an object would be an operator.
    if (![value].flat().every(isPlain)) throw new TypeError(`A filter compares ${field} with a value that no field has.`);
    conditions[field === 'id' ? '_id' : field] = Array.isArray(value) ? { $in: value } : value;
  }
  if (createdSince || createdBefore) {
    conditions.createdAt = { ...(createdSince && { $gte: createdSince }), ...(createdBefore && { $lt: createdBefore }) };
  }
  return nameGlob === undefined ? conditions : both(conditions, { [nameField]: globCondition(nameGlob) });
}

const COUNT_TIME_MS = 1_000;

/** Reading backward from `before` is the same as reading forward in the opposite order. */
function ascending(request: PageRequest): boolean {
  return request.descending === Boolean(request.before);
}

function order(request: PageRequest): Record<string, 1 | -1> {
  const direction = ascending(request) ? 1 : -1;
  return { [request.sortField]: direction, _id: direction };
}

/**
 * Returns the key ranges after a cursor: the remaining records with the same sort value, and all with a later one. Each is one interval of
 * the index, so a page reads only the records that it returns. The performance of one `$or` over both would depend on the query planner.
 */
function ranges(request: PageRequest): Conditions[] {
  const from = request.before ?? request.after;
  if (!from) return [{}];
  const beyond = ascending(request) ? '$gt' : '$lt';
  return [{ [request.sortField]: from.value, _id: { [beyond]: from.id } }, { [request.sortField]: { [beyond]: from.value } }];
}

/** Compares records in the same order as `order`, to merge the two ranges of a page. Compares strings by their UTF-8 bytes, as MongoDB does. */
function comparing(request: PageRequest) {
  const sign = ascending(request) ? 1 : -1;
  const compare = (a: unknown, b: unknown) =>
    a instanceof Date && b instanceof Date ? a.getTime() - b.getTime() : Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
  return <R extends BaseRecord>(a: R, b: R): number =>
    sign * (compare(a[request.sortField as keyof R], b[request.sortField as keyof R]) || compare(a.id, b.id));
}
