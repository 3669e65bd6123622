import { type Model, mongo, type PipelineStage, Types } from 'mongoose';
import { nounTable } from '../access/nouns.ts';
import { ConflictError, TimeoutError } from '../errors.ts';
import { type Database, translate, translatingErrors } from './database.ts';
import { both, type Conditions, type Extent, refuseBeyond, within } from './extent.ts';
import { date, type Fields, number, optional, tenantSchema, type ValuesOf } from './fields.ts';
import { globCondition } from './glob.ts';

const baseFields = {
  /** 1 after creation, incremented by each update. */
  version: number(),
  createdAt: date(),
  updatedAt: date(),
};

/** The fields of every record. Ids are 24 hexadecimal digits. Records are plain objects; mongoose documents stay in `store/`. */
export interface BaseRecord extends ValuesOf<typeof baseFields> {
  readonly id: string;
  readonly organizationId: string;
}

/** A record of a noun with these fields. */
export type RecordOf<F extends Fields> = BaseRecord & ValuesOf<F>;

/** Not part of records. `touches` is written to conflict with a transaction that deletes the record; `bytes` is the size of the record. */
const touched = { touches: optional(number()), bytes: optional(number()) };
/** A smaller change of the size of a record is not counted. */
const BYTES_STEP = 256;

/** The stored form of a record. */
type Stored<R extends BaseRecord> = Omit<R, 'id'> & { readonly _id: string } & ValuesOf<typeof touched>;

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
  return tenantSchema({ ...baseFields, ...touched, ...fields });
}

/** Reads and writes the records of one noun, within an extent only. */
export type RecordStore<R extends BaseRecord> = ReturnType<ReturnType<typeof recordStore<R>>>;

interface RecordStoreOptions {
  /** The field that globs match. `name` by default. */
  readonly nameField?: string;
  /** A condition that every read adds, such as "not yet expired". */
  readonly visible?: () => Conditions;
}

/** Returns a function that creates the store of one noun's records for an extent. */
export function recordStore<R extends BaseRecord>(
  database: Database,
  model: Model<Stored<R>>,
  { nameField = 'name', visible = () => ({}) }: RecordStoreOptions = {},
) {
  // The fields of a noun are data here, so mongoose's exact types for filters and updates cannot be used. `strict` checks them at run time.
  const anyModel = model as unknown as Model<Record<string, unknown>>;
  // The cast is safe, because only `insert` and `update` write to the collection, and they accept no other records.
  const toRecord = ({ _id, touches: _, bytes: __, ...rest }: Record<string, unknown>) => ({ id: _id, ...rest }) as unknown as R;
  const { collectionName } = model.collection;
  // The audit log is not counted: see the table of nouns.
  const isCounted = Object.values(nounTable).some(({ plural, storedLimit }) => plural === collectionName && storedLimit !== null);

  return (extent: Extent) => {
    const written = (filter: Filter<R> | Filter<BaseRecord>) => both(within(extent), conditionsOf(filter, nameField));
    const readable = (filter: Filter<R> | Filter<BaseRecord>) => both(written(filter), visible());

    async function pages(asked: readonly PageOf<R>[]): Promise<Page<R>[]> {
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
      return asked.map(({ request }, index) => {
        const own = asked.length > 1 ? found.filter(({ page }) => page === index).map(({ page: _, ...rest }) => rest) : found;
        const records = own.map(toRecord).sort(comparing(request)).slice(0, request.limit);
        if (request.before) records.reverse();
        return { records, hasMore: own.length > request.limit };
      });
    }

    return translatingErrors({
      /** Returns the records with these ids that exist, in any order. */
      async byIds(ids: readonly string[]): Promise<R[]> {
        const found = await anyModel
          .find(readable({ id: ids }))
          .maxTimeMS(database.readTimeMs)
          .lean();
        return found.map(toRecord);
      },

      async one(filter: Filter<R>): Promise<R | null> {
        const found = await anyModel.findOne(readable(filter)).maxTimeMS(database.readTimeMs).lean();
        return found && toRecord(found);
      },

      async page(filter: Filter<R>, request: PageRequest): Promise<Page<R>> {
        return (await pages([{ filter, request }]))[0]!;
      },

      /** Reads many pages in one command, such as the first connections of fifty end users. The database limits each page. */
      pages,

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
        const document = { ...rest, _id: id, organizationId: extent.organizationId };
        if (!isCounted) {
          await anyModel.create([document]);
          return record;
        }
        const bytes = mongo.BSON.calculateObjectSize(document);
        await anyModel.create([{ ...document, bytes }]);
        const owner = 'endUserId' in record ? (record.endUserId as string | null) : null;
        await database.account(extent.organizationId, { [collectionName]: 1, bytes }, owner);
        return record;
      },

      /** Writes the changes if the record still has this version. @throws ConflictError otherwise */
      async update(id: string, version: number, changes: Partial<Omit<R, keyof BaseRecord>>, updatedAt: Date): Promise<void> {
        const set = { ...changes, version: version + 1, updatedAt };
        const result = await anyModel
          .findOneAndUpdate(both(written({ id }), { version }), { $set: set }, { runValidators: true, returnDocument: 'after' })
          .lean();
        if (!result) throw new ConflictError('The object was changed by another request at the same time.', []);
        const { touches: _, bytes: before = 0, ...document } = result as { touches?: number; bytes?: number };
        const bytes = mongo.BSON.calculateObjectSize(document);
        if (!isCounted || Math.abs(bytes - before) < BYTES_STEP) return;
        await anyModel.updateOne(written({ id }), { $set: { bytes } });
        await database.account(extent.organizationId, { bytes: bytes - before });
      },

      /** Writes the record without changing it, so that this transaction and one that deletes it cannot both commit. */
      async touch(id: string): Promise<boolean> {
        const result = await anyModel.updateOne(written({ id }), { $inc: { touches: 1 } });
        return result.matchedCount === 1;
      },

      /** Returns the ids of all matching records, including those that reads hide. */
      async ids(filter: Filter<R>): Promise<string[]> {
        const found = await anyModel.find(written(filter), { _id: 1 }).lean();
        return found.map(({ _id }) => _id as string);
      },

      /** Deletes all matching records, including those that reads hide. */
      async remove(filter: Filter<R>): Promise<number> {
        if (!isCounted) return (await anyModel.deleteMany(written(filter))).deletedCount;
        const group = { _id: null, bytes: { $sum: '$bytes' } };
        const [found] = await anyModel.aggregate([{ $match: written(filter) }, { $group: group }]);
        if (!found) return 0;
        const { deletedCount } = await anyModel.deleteMany(written(filter));
        await database.account(extent.organizationId, { [collectionName]: -deletedCount, bytes: -Number(found.bytes) });
        return deletedCount;
      },
    });
  };
}

type Stage = PipelineStage.UnionWithPipelineStage;

/** Combines pipelines into one: a tree of two levels, because some query planners are slow with long chains. */
function union(collection: string, branches: readonly Stage[][]): Stage[] {
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
