import { LRUCache } from 'lru-cache';
import { type Model, mongo } from 'mongoose';
import { type Noun, type NounName, nounTable } from '../access/nouns.ts';
import { AlteredRecordError, beingPrepared, ConflictError, TimeoutError } from '../errors.ts';
import { isMacOf, macOf, type RecordKey } from '../secrets/record-mac.ts';
import { type Access, accessTo, indexesOf, type Path, widestPaths } from './access-paths.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translate, translatingErrors } from './database.ts';
import { type EventNoun, type Happening, happened, isEventNoun } from './event-forms.ts';
import { both, type Conditions, type Extent, isWithin, refuseBeyond, within } from './extent.ts';
import { type Fields, fitting, storable, storableWhole } from './fields.ts';
import { conditionsOf, differingField, type Filter, matcherOf, requirementsOf } from './filter.ts';
import type { HealthState } from './health.ts';
import { onFirstUse } from './lazily.ts';
import { lookupMembers } from './lookup.ts';
import { comparing, lastId, order, type Page, type PageOf, type PageRequest, type PageStart, ranges } from './page.ts';
import { type Bytes, decoded, type Stage, union, untagged } from './pipelines.ts';
import { type BaseRecord, baseFields, bookkeeping, type Change, type Document, isId, type Stored } from './record.ts';
import { countedBytes, sumOfBytes } from './sizes.ts';
import { newTouch } from './touch.ts';

export { type Actor, viewerKinds } from './actor.ts';
export type { Filter } from './filter.ts';
export { newId } from './ids.ts';
export type { Page, PageOf, PageRequest, PageStart } from './page.ts';
export { union } from './pipelines.ts';
export {
  addLookupIndex,
  type BaseRecord,
  baseFields,
  type Change,
  isId,
  lookupFields,
  type RecordOf,
  recordSchema,
} from './record.ts';

/** A smaller change of the size of a record is not counted, in bytes. */
const BYTES_STEP = 256;

/** How many records match a filter. If not exact, there are at least so many. */
export interface Count {
  readonly count: number;
  readonly isExact: boolean;
}

/** Records that match a filter: all of them, or those among a limited number that was looked at. */
export interface SomeIds {
  readonly ids: readonly string[];
  readonly isAll: boolean;
}

/** Reads and writes the records of one noun, within an extent only. */
export type RecordStore<R extends BaseRecord> = ReturnType<ReturnType<typeof recordStore<R>>>;

/** The functions that read records. */
export type RecordReads<R extends BaseRecord> = Pick<RecordStore<R>, 'all' | 'allOf' | 'byIds' | 'one' | 'page' | 'pages'>;

type PagesOf<R extends BaseRecord> = (asked: readonly PageOf<R>[]) => Promise<Page<R>[]>;

/** How to answer pages by one read of all records of their lists. */
export interface WholeLists<R> {
  readonly collectionName: string;
  readonly conditions: Conditions;
  readonly limit: number;
  /** Returns the pages. Null if the lists are too long, or if a record is not as the gateway wrote it: then only the database can tell the pages. */
  readonly pages: (found: readonly Bytes[]) => Promise<Page<R>[] | null>;
}

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
  /**
   * Returns fields that follow from a record that is written, a new one or one that replaces `before`. They are among those that the MAC does not
   * cover.
   */
  readonly derived?: (record: R, before: R | null) => Partial<R>;
  /** Returns what else has happened when a record replaces another one, besides that it was changed. */
  readonly happenings?: (record: R, before: R) => readonly (Pick<Happening, 'type'> & Partial<Happening>)[];
  /** The field that globs match. `name` by default. */
  readonly nameField?: string;
  /**
   * Returns the keys by which records are found, see `lookup.ts`: for each of the records, which are complete. The noun then has the field
   * `lookupKeys`, and whatever writes a record writes its keys.
   */
  readonly lookupKeys?: (records: readonly R[], organizationId: string) => readonly string[][] | Promise<readonly string[][]>;
  /**
   * A condition that every read adds, such as "not yet expired", its opposite, for which there is an index within the organization, and the same
   * as a function of a record.
   */
  readonly visible?: { readonly condition: () => Conditions; readonly hidden: () => Conditions; readonly holds: (record: R) => boolean };
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
  {
    noun,
    fields,
    authenticity,
    unauthenticated = [],
    derived = () => ({}),
    happenings = () => [],
    nameField = 'name',
    lookupKeys,
    visible,
  }: RecordStoreOptions<R>,
) {
  // The fields of a noun are data here, so mongoose's exact types for filters and updates cannot be used. `strict` checks them at run time.
  const anyModel = model as unknown as Model<Record<string, unknown>>;
  const allFields = { ...baseFields, ...fields };
  // Anybody who can write to the database can have written these: what does not fit its type is read as blank.
  const unproven = authenticity ? Object.fromEntries(unauthenticated.map((name) => [name, fields[name]!])) : allFields;
  const hasUnproven = Object.keys(unproven).length > 0;

  /** Returns the record of a document. */
  function toRecord(document: Document): R {
    const record: Record<string, unknown> = { id: document._id };
    for (const name of Object.keys(document)) if (!notInRecords.has(name)) record[name] = document[name];
    return (hasUnproven ? Object.assign(record, fitting(unproven, record)) : record) as unknown as R;
  }

  const { collectionName } = model.collection;
  const { label, storedLimit } = nounTable[noun];
  const isCounted = storedLimit !== null;
  const indexes = indexesOf(model.schema);

  /** Where events of these records go. Null if they have none. */
  const outbox = authenticity && isEventNoun(noun) ? authenticity.outbox : null;
  const eventOf = (type: Happening['type'], record: BaseRecord, more?: Partial<Happening>) =>
    happened(noun as EventNoun, type, record as never, more);
  /** Returns what has happened if the stored state of a record has changed. A state that was not determined yet tells nothing but a problem. */
  function stateChange(record: BaseRecord, before: BaseRecord): Happening[] {
    const { state } = record as { readonly state?: HealthState };
    const { state: previousState = 'UNKNOWN' } = before as { readonly state?: HealthState };
    const isFirst = !('state' in before) || (before as { readonly state?: HealthState }).state === undefined;
    if (state === undefined || state === previousState || (isFirst && state === 'WORKING')) return [];
    return [eventOf('STATE_CHANGED', record, { state, previousState })];
  }

  /** What the MAC does not cover. */
  const uncovered: ReadonlySet<string> = new Set([...Object.keys(bookkeeping), ...unauthenticated]);

  /** Reads and writes with the driver, without mongoose. What is read comes as bytes, so that what is known is not decoded. */
  const collection = database.collection<{ _id: string }>(collectionName);
  /** All that is read comes in one batch, unless it is too large for one. */
  const reading = (most: number) => ({ raw: true, batchSize: most + 1, maxTimeMS: database.readTimeMs, ...database.session() });
  /** Reads at most `limit` documents; all if it is 0, as for the driver. */
  const find = async (conditions: Conditions, limit: number): Promise<Bytes[]> =>
    (await collection.find(conditions, { limit, ...reading(limit || IDS_AT_ONCE) }).toArray()) as unknown as Bytes[];
  /**
   * How many records certain lists exceeded lately, or held besides one that is not as the gateway wrote it, by organization and filter. Until then,
   * their pages are read one by one.
   */
  const longLists = onFirstUse(() => new LRUCache<string, number>({ max: 1_000, ttl: LONG_LIST_MS }));
  /** The organizations whose records have keys, or have lately had. Copies of an earlier version can still write some without. */
  const withKeys = onFirstUse(() => new LRUCache<string, true>({ max: 10_000, ttl: KEYS_KNOWN_MS }));

  /** Returns the records with their keys. */
  async function keyed(records: readonly R[], organizationId: string): Promise<readonly R[]> {
    if (!lookupKeys || records.length === 0) return records;
    const keys = await lookupKeys(records, organizationId);
    return records.map((record, at) => ({ ...record, lookupKeys: [...new Set(keys[at])] }));
  }

  /** Returns a record for display, with values that fit their types. */
  function shownAltered(document: Document, organizationId: string): R {
    const { _id: id } = document;
    return { ...fitting(allFields, document), id, organizationId, isAltered: true } as unknown as R;
  }

  return (extent: Extent) => {
    const { organizationId, confines } = extent;
    const isConfined = confines === 'nothing' || Object.keys(confines).length > 0;
    const written = (filter: Filter<R> | Filter<BaseRecord>) => both(within(extent), conditionsOf(filter, allFields, nameField));
    const readable = (filter: Filter<R> | Filter<BaseRecord>) => both(written(filter), visible?.condition() ?? {});

    /** Returns the document of a record, without its MAC. */
    function storedForm({ id, organizationId: _, ...values }: R): Document & { readonly _id: string } {
      return { _id: id, organizationId, ...storableWhole(allFields, values) };
    }

    /** Returns the MAC of a document. */
    async function macFor(document: Document): Promise<object> {
      return authenticity ? { mac: macOf(await authenticity.key(organizationId), noun, document, uncovered) } : {};
    }

    /** Inserts records with one command, and counts them. Returns their documents, without the bookkeeping. */
    async function insertAll(records: readonly R[]): Promise<readonly Document[]> {
      for (const record of records) refuseBeyond(extent, record);
      const stored = (await keyed(records, organizationId)).map((record) => storedForm({ ...record, ...derived(record, null) }));
      const sizes = stored.map((document) => mongo.BSON.calculateObjectSize(document));
      const documents = await Promise.all(
        stored.map(async (document, at) => ({ ...document, ...(await macFor(document)), ...(isCounted && { bytes: sizes[at] }) })),
      );
      // Of one document, the driver tells which index has refused it.
      if (documents.length === 1) await collection.insertOne(documents[0]!, database.session());
      else await collection.insertMany(documents, database.session());
      await outbox?.note(
        organizationId,
        records.map((record) => eventOf('CREATED', record)),
      );
      if (!isCounted) return stored;
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      await database.account(organizationId, { [collectionName]: documents.length, bytes });
      const owners = new Set(records.map((record) => ('endUserId' in record ? (record.endUserId as string | null) : null)));
      for (const owner of owners) if (owner !== null) await database.account(organizationId, {}, owner);
      return stored;
    }

    /** Writes changes to a record, with the version that it gets, and who changed it when. */
    async function replace(
      record: R,
      changes: Partial<Omit<R, keyof BaseRecord>>,
      stamp: Pick<R, 'version' | 'updatedAt'> & Partial<Change>,
    ): Promise<R> {
      if (record.isAltered) throw new AlteredRecordError(label);
      const { id, version, ...rest } = record;
      const changed = { ...record, ...changes, ...stamp };
      const following = {
        ...derived(changed, record),
        ...(lookupKeys && { lookupKeys: ((await keyed([changed], organizationId))[0] as Document).lookupKeys }),
      };
      const set = { ...storable(allFields, { ...changes, ...following }), ...stamp };
      const merged = { ...rest, _id: id, ...set };
      const mac = await macFor(merged);
      const change = { $set: { ...set, ...mac } };
      const options = { projection: { bytes: 1 }, ...database.session() };
      const old: Document | null = await collection.findOneAndUpdate(both(written({ id }), { version }), change, options);
      if (!old) throw new ConflictError('The object was changed by another request at the same time.', []);
      const bytes = mongo.BSON.calculateObjectSize(merged);
      const grown = bytes - countedBytes(old.bytes);
      if (isCounted && Math.abs(grown) >= BYTES_STEP) {
        await collection.updateOne(written({ id }), { $set: { bytes } }, database.session());
        await database.account(organizationId, { bytes: grown });
      }
      const replaced = { ...record, ...set } as R;
      await outbox?.note(organizationId, [
        ...(stamp.version > version ? [eventOf('UPDATED', replaced)] : []),
        ...happenings(replaced, record).map(({ type, ...more }) => eventOf(type, replaced, more)),
        ...stateChange(replaced, record),
      ]);
      return replaced;
    }

    /**
     * Notes the deletion of records, with what they were, before they are deleted. Returns the sum of their sizes. They are read one after the other,
     * because there can be many.
     */
    async function noteDeletion(filter: Filter<R>): Promise<number> {
      const key = await recordKey().catch(() => null);
      const all: Happening[] = [];
      let bytes = 0;
      for await (const document of collection.find(written(filter), {
        batchSize: IDS_AT_ONCE,
        ...database.session(),
      }) as AsyncIterable<Document>) {
        bytes += countedBytes(document.bytes);
        // Only such an object has a global id. Whatever somebody else has written there is no text of an event.
        if (!isId(document._id)) continue;
        const isProven = key !== null && isIntact(key, document);
        all.push(eventOf('DELETED', isProven ? toRecord(document) : shownAltered({ _id: document._id }, organizationId)));
      }
      await outbox!.note(organizationId, all);
      return bytes;
    }

    /** Reports an altered record. Returns its id, or null if it has none. */
    function report({ _id }: Document): string | null {
      const id = isId(_id) ? _id : null;
      // Only nouns whose records have ids are authenticated.
      authenticity?.report({ organizationId, noun: noun as Noun, id });
      return id;
    }

    /** Returns the key that authenticates the records; null if they are not authenticated here. */
    const recordKey = async () => (authenticity ? authenticity.key(organizationId) : null);

    /** Returns whether a document is as the gateway wrote it. */
    function isIntact(key: RecordKey | null, document: Document): boolean {
      // What is not authenticated here must at least have its types, so that it can be shown.
      if (!key) return isId(document._id) && Object.entries(allFields).every(([name, { fits }]) => fits(document[name]));
      return document.organizationId === organizationId && isMacOf(key, noun, document, document.mac, uncovered);
    }

    /** Returns a function that returns whether a document is as the gateway wrote it. */
    async function authenticator(): Promise<(document: Document) => boolean> {
      const key = await recordKey();
      return (document) => isIntact(key, document);
    }

    /** Returns a function that returns whether a record is in the list of a filter: within the extent, and with the values that are asked for. */
    function wanted(filter: Filter<R> | Filter<BaseRecord>): (record: BaseRecord) => boolean {
      const isMatch = matcherOf(filter);
      return (record) => record.organizationId === organizationId && isWithin(extent, record) && isMatch(record);
    }

    /**
     * Returns what makes records of the documents that a query found. It returns null for a document that is not as the gateway wrote it. A
     * document can have the same field twice, and then the database compares the one and the driver returns the other: so what the query asked for
     * is checked again.
     */
    async function reader(filter: Filter<R> | Filter<BaseRecord>): Promise<(found: Bytes) => R | null> {
      const key = await recordKey();
      const isWanted = wanted(filter);
      return (bytes) => {
        const known = key && (authenticity?.verified.find(noun, key, bytes) as R | undefined);
        if (known) return isWanted(known) ? known : null;
        const document = decoded(bytes);
        if (!isIntact(key, document)) return null;
        const record = toRecord(document);
        if (key) authenticity?.verified.add(noun, key, bytes, record);
        return isWanted(record) ? record : null;
      };
    }

    /** Returns the records of the documents that a query found. If they are sorted, those without a valid value of the sort field are left out. */
    async function recordsOf(
      found: readonly Bytes[],
      filter: Filter<R> | Filter<BaseRecord>,
      altered: Altered,
      sortField?: string,
    ): Promise<R[]> {
      if (found.length === 0) return [];
      const read = await reader(filter);
      // Such a record would have a cursor that leads anywhere.
      const fits = sortField === undefined ? undefined : (allFields as Fields)[sortField]?.fits;
      const isSortable = (values: object) =>
        !fits || ((values as Document)[sortField!] !== undefined && fits((values as Document)[sortField!]));
      const records: R[] = [];
      for (const bytes of found) {
        const record = read(bytes);
        if (record) {
          if (isSortable(record) && (!visible || visible.holds(record))) records.push(record);
          continue;
        }
        const document = decoded(bytes);
        if (!isSortable(document)) continue;
        const id = report(document);
        if (isConfined || id === null) continue;
        if (altered === 'refused' && authenticity) throw new AlteredRecordError(label);
        records.push(shownAltered(document, organizationId));
      }
      return records;
    }

    /**
     * Decides how to read each page. Pages that an index serves need no command for that. For the others, one command looks in the indexes how
     * much there is to read.
     */
    async function readingsOf(asked: readonly PageOf<R>[]): Promise<Reading[]> {
      const accesses = asked.map(({ filter, request }) =>
        request.isBounded ? accessTo(indexes, requirementsOf(extent, filter, nameField), request.sortField) : 'direct',
      );
      const looks = accesses.flatMap((access, page) => (access === 'direct' ? [] : looksOf(access, asked[page]!.request, page)));
      if (looks.length === 0) return accesses.map(() => ({}));
      const seen: Look[] = await anyModel.aggregate(union(collectionName, looks)).option({ maxTimeMS: database.readTimeMs });
      return accesses.map((access, page): Reading => {
        if (access === 'direct') return {};
        const own = seen.filter((look) => look.page === page);
        const sizes = access.candidates.map((_, at) => own.find(({ candidate }) => candidate === at)?.count ?? 0);
        const least = Math.min(...sizes);
        if (least <= EXAMINED_MAX) return { few: access.candidates[sizes.indexOf(least)]! };
        const { sortField } = asked[page]!.request;
        const [edge] = own.filter(({ range }) => range !== undefined).sort((a, b) => a.range! - b.range!);
        const value = edge?.[sortField];
        const isPosition = edge !== undefined && ((allFields as Fields)[sortField]?.fits(value) ?? false);
        const id = edge !== undefined && isId(edge._id) ? edge._id : lastId(asked[page]!.request);
        return { inOrder: access.inOrder, ...(isPosition && { edge: { value: value as PageStart['value'], id } }) };
      });
    }

    /** Returns the stages that read a page: one or more branches, each in order. */
    function branchesOf({ filter, request }: PageOf<R>, { few, inOrder, edge }: Reading): Stage[][] {
      const sort = { $sort: order(request) };
      // One more than requested, to know whether there are more.
      const limit = { $limit: request.limit + 1 };
      // Limits between two conditions keep the database from choosing another index. What was written since the look is read, too.
      const most = { $limit: 2 * EXAMINED_MAX };
      if (few) {
        const [first, ...others] = ranges(request);
        const range = others.length > 0 ? { $or: [first, ...others] } : first!;
        return [[{ $match: few }, most, { $match: both(readable(filter), range) }, sort, limit]];
      }
      if (!inOrder) return ranges(request).map((range) => [{ $match: both(readable(filter), range) }, sort, limit]);
      return ranges(request, edge).map((range) => [{ $match: both(inOrder, range) }, sort, most, { $match: readable(filter) }, limit]);
    }

    /**
     * Returns how to answer pages of lists whose filters differ in the value of one field, such as the usages of fifty credentials: by one read of
     * everything in these lists. Null if the filters differ otherwise, or if the lists were too long lately.
     */
    function wholeLists(asked: readonly PageOf<R>[]): WholeLists<R> | null {
      const field = differingField(asked.map(({ filter }) => filter as Document));
      if (field === null) return null;
      const { [field]: _, ...common } = asked[0]!.filter as Document;
      const lists = JSON.stringify([organizationId, field, Object.keys(common)]);
      const valueIn = ({ filter }: PageOf<R>) => (filter as Document)[field] as string;
      const filter = { ...common, [field]: [...new Set(asked.map(valueIn))] } as Filter<R>;
      // At most twice as much as the pages themselves can have.
      const most = 2 * asked.reduce((sum, { request }) => sum + request.limit + 1, 0);
      if ((longLists().get(lists) ?? 0) >= most) return null;
      return {
        collectionName,
        conditions: readable(filter),
        limit: most + 1,
        async pages(found) {
          if (found.length > most) {
            longLists().set(lists, most);
            return null;
          }
          const read = await reader(filter);
          const byValue = new Map<unknown, R[]>(asked.map((each) => [valueIn(each), []]));
          for (const bytes of found) {
            const record = read(bytes);
            if (!record) {
              longLists().set(lists, most);
              return null;
            }
            if (visible && !visible.holds(record)) continue;
            const value = (record as unknown as Document)[field];
            for (const each of Array.isArray(value) ? new Set(value) : [value]) byValue.get(each)?.push(record);
          }
          const pages = asked.map((each) => pageOf(byValue.get(valueIn(each))!, each.request));
          return pages.includes(null) ? null : (pages as Page<R>[]);
        },
      };
    }

    /** Gives keys to records that an earlier version wrote: at most `limit`, of the whole organization. The version and the times stay. */
    async function addKeys(
      limit: number,
      except: readonly string[],
    ): Promise<{ readonly found: number; readonly altered: readonly string[] }> {
      const lacking = { organizationId, lookupKeys: null, ...(except.length > 0 && { $nor: [{ _id: { $in: except } }] }) };
      const documents: Document[] = (await find(lacking, limit)).map(decoded);
      const isAuthentic = await authenticator();
      const intact = documents.filter(isAuthentic);
      const records = await keyed(intact.map(toRecord), organizationId);
      const changes = await Promise.all(
        intact.map(async (document, at) => {
          const set = { lookupKeys: (records[at] as unknown as Document).lookupKeys };
          // Whoever changes the record at the same time gives it another MAC, and keys.
          const filter = { organizationId, _id: String(document._id), mac: document.mac };
          return { updateOne: { filter, update: { $set: { ...set, ...(await macFor({ ...document, ...set })) } } } };
        }),
      );
      if (changes.length > 0) await collection.bulkWrite(changes, { ordered: false, ...database.session() });
      return { found: documents.length, altered: documents.filter((each) => !isAuthentic(each)).map(({ _id }) => String(_id)) };
    }

    /**
     * Gives keys to all records of the organization that have none, at most `most`. Returns whether none is left, but for altered ones: nothing
     * may be derived from them.
     */
    async function completeKeys(most: number): Promise<boolean> {
      if (!lookupKeys || withKeys().has(organizationId)) return true;
      const altered: string[] = [];
      for (let done = 0; done < most; done += KEYS_AT_ONCE) {
        const batch = await addKeys(KEYS_AT_ONCE, altered);
        altered.push(...batch.altered);
        if (batch.found < KEYS_AT_ONCE || altered.length >= KEYS_AT_ONCE) {
          withKeys().set(organizationId, true);
          return true;
        }
      }
      return false;
    }

    /** @throws UnavailableError when a filter needs keys that records of an earlier version do not have yet */
    async function requireKeys(filters: readonly Filter<R>[]): Promise<void> {
      if (!filters.some((filter) => lookupMembers.some((name) => name in filter))) return;
      if (!lookupKeys) throw new TypeError(`A filter looks for keys, which a ${label} does not have.`);
      if (!(await completeKeys(KEYS_IN_REQUEST))) {
        throw beingPrepared('Objects that an earlier version stored are being prepared.', 5);
      }
    }

    async function pages(asked: readonly PageOf<R>[], altered: Altered): Promise<Page<R>[]> {
      await requireKeys(asked.map(({ filter }) => filter));
      const lists = wholeLists(asked);
      return (lists && (await lists.pages(await find(lists.conditions, lists.limit)))) ?? pagesOneByOne(asked, altered);
    }

    /** Reads pages of any lists in one command. The database limits each. */
    async function pagesOneByOne(asked: readonly PageOf<R>[], altered: Altered): Promise<Page<R>[]> {
      const isOne = asked.length === 1;
      const readings = await readingsOf(asked);
      const branches = asked.flatMap((each, page) =>
        branchesOf(each, readings[page]!).map((stages): Stage[] => (isOne ? stages : [...stages, { $addFields: { page } }])),
      );
      const most = asked.reduce((sum, { request }) => sum + ranges(request).length * (request.limit + 1), 0);
      const found = (await collection.aggregate(union(collectionName, branches), reading(most)).toArray()) as unknown as Bytes[];
      const byPage = isOne ? [found] : untagged(found, asked);
      const result: Page<R>[] = [];
      for (const [index, { filter, request }] of asked.entries()) {
        const own = byPage[index]!;
        const records = (await recordsOf(own, filter, altered, request.sortField)).sort(comparing(request)).slice(0, request.limit);
        if (request.before) records.reverse();
        const { few, inOrder, edge } = readings[index]!;
        const isShort = own.length > request.limit && records.length < request.limit;
        const continuesAt = isShort ? lastPosition(own, request) : own.length <= request.limit ? edge : undefined;
        const hasMore = own.length > request.limit || continuesAt !== undefined;
        result.push({ records, hasMore, ...(continuesAt && { continuesAt }), ...((few || inOrder) && { wasExamined: true }) });
      }
      return result;
    }

    /** Returns where the next page begins if records are left out of this one, because somebody else has written them: after what was read for it. */
    function lastPosition(found: readonly Bytes[], request: PageRequest): PageStart | undefined {
      const { sortField, limit } = request;
      const compare = comparing(request);
      const read = found
        .map(decoded)
        .map(({ _id, [sortField]: value }) => ({ id: isId(_id) ? _id : lastId(request), [sortField]: value }) as unknown as BaseRecord)
        .sort(compare)
        .slice(0, limit);
      const last = read.findLast((each) => (allFields as Fields)[sortField]?.fits((each as unknown as Document)[sortField]));
      return last && { id: last.id, value: (last as unknown as Document)[sortField] as PageStart['value'] };
    }

    /** Returns how the indexes find the records of a filter: by a path that needs no look at the records, or else by all that narrow it. */
    function pathsOf(filter: Filter<R>): { readonly whole: Path | undefined; readonly all: readonly Path[] } {
      const requirements = requirementsOf(extent, filter, nameField);
      const all = widestPaths(indexes, requirements);
      const whole = all.find(({ covered }) => covered.size === requirements.length);
      return { whole, all: whole ? [whole] : all };
    }

    async function countsOf(filters: readonly Filter<R>[], most: number): Promise<Count[]> {
      const limit = { $limit: most + 1 };
      const count = { $count: 'count' };
      const paths = filters.map(pathsOf);
      const found = await counted([
        ...paths.flatMap(({ all }, at) =>
          all.map((path) => ({ name: nameOf(at, path), stages: [{ $match: path.conditions }, limit, count] })),
        ),
        // What is hidden is few, and not in the indexes of a filter.
        ...paths.flatMap(({ whole }, at) =>
          whole && visible
            ? [
                {
                  name: `${at} hidden`,
                  stages: [{ $match: { organizationId, ...visible.hidden() } }, limit, { $match: written(filters[at]!) }, count],
                },
              ]
            : [],
        ),
      ]);
      const sizeOf = (at: number) => (path: Path) => found.get(nameOf(at, path)) ?? 0;
      const least = paths.map(({ all }, at) => [...all].sort((a, b) => sizeOf(at)(a) - sizeOf(at)(b))[0]!);
      const matching = await counted(
        filters.flatMap((filter, at) =>
          paths[at]!.whole
            ? []
            : [{ name: `${at}`, stages: [{ $match: least[at]!.conditions }, limit, { $match: readable(filter) }, count] }],
        ),
      );
      return filters.map((_, at) => {
        const size = sizeOf(at)(least[at]!);
        const number = paths[at]!.whole ? Math.max(0, size - (found.get(`${at} hidden`) ?? 0)) : (matching.get(`${at}`) ?? 0);
        return { count: Math.min(number, most), isExact: size <= most };
      });

      function nameOf(at: number, path: Path): string {
        return `${at} ${paths[at]!.all.indexOf(path)}`;
      }
    }

    async function idsOf(filter: Filter<R>, most: number): Promise<SomeIds> {
      const limit = { $limit: most + 1 };
      const { all } = pathsOf(filter);
      const sizes = await counted(
        all.map((path, at) => ({ name: `${at}`, stages: [{ $match: path.conditions }, limit, { $count: 'count' }] })),
      );
      const [least] = all.map((path, at) => ({ path, size: sizes.get(`${at}`) ?? 0 })).sort((a, b) => a.size - b.size);
      const found: { _id: string }[] = await anyModel
        .aggregate([{ $match: least!.path.conditions }, limit, { $match: readable(filter) }, { $project: { _id: 1 } }])
        .option({ maxTimeMS: database.countTimeMs });
      return { ids: found.slice(0, most).map(({ _id }) => _id), isAll: least!.size <= most };
    }

    /** Returns null if the database has not counted in time. */
    async function unlessTooLong<T>(counting: Promise<T>): Promise<T | null> {
      try {
        return await counting;
      } catch (error) {
        if (translate(error) instanceof TimeoutError) return null;
        throw error;
      }
    }

    /** Runs pipelines that count, in one command. Returns the counts by name; none for 0. */
    async function counted(pipelines: readonly { readonly name: string; readonly stages: Stage[] }[]): Promise<Map<string, number>> {
      if (pipelines.length === 0) return new Map();
      const branches = pipelines.map(({ name, stages }): Stage[] => [...stages, { $addFields: { name } }]);
      const found: { name: string; count: number }[] = await anyModel
        .aggregate(union(collectionName, branches))
        .option({ maxTimeMS: database.countTimeMs });
      return new Map(found.map(({ name, count }) => [name, count]));
    }

    /** Returns the functions that read. */
    const reads = (altered: Altered) =>
      translatingErrors({
        /** Returns the records with these ids that exist, in any order. */
        async byIds(ids: readonly string[]): Promise<R[]> {
          if (ids.length === 0) return [];
          const filter = { id: ids };
          return recordsOf(await find(readable(filter), ids.length), filter, altered);
        },

        /** Returns all records that match, in any order, in one command. The caller makes sure that there are few. */
        async all(filter: Filter<R>): Promise<R[]> {
          return recordsOf(await find(readable(filter), 0), filter, altered);
        },

        /** Returns all records that match one of these filters, in any order, in one command. The caller makes sure that there are few. */
        async allOf(filters: readonly Filter<R>[]): Promise<R[]> {
          const [first, ...others] = filters;
          if (!first) return [];
          if (others.length === 0) return recordsOf(await find(readable(first), 0), first, altered);
          // Not by `$or`, for which the database would read more than one index serves.
          const branches = filters.map((filter, page): Stage[] => [{ $match: readable(filter) }, { $addFields: { page } }]);
          const found = (await collection.aggregate(union(collectionName, branches), reading(IDS_AT_ONCE)).toArray()) as unknown as Bytes[];
          const records = await Promise.all(untagged(found, filters).map((own, index) => recordsOf(own, filters[index]!, altered)));
          return records.flat();
        },

        async one(filter: Filter<R>): Promise<R | null> {
          return (await recordsOf(await find(readable(filter), 1), filter, altered))[0] ?? null;
        },

        async page(filter: Filter<R>, request: PageRequest): Promise<Page<R>> {
          return (await pages([{ filter, request }], altered))[0]!;
        },

        /**
         * Reads many pages in one command, such as the first connections of fifty end users. If their lists are short, all of them are read at once.
         * Otherwise the database limits each page. It takes one more command to find out that they are long.
         */
        pages: (asked: readonly PageOf<R>[]): Promise<Page<R>[]> => pages(asked, altered),

        /** Reads many pages of this noun and of another one, in one command if the lists of both are short. */
        async pagesOfTwo<S extends BaseRecord>(
          asked: readonly PageOf<R>[],
          other: { readonly wholeLists: (asked: readonly PageOf<S>[]) => WholeLists<S> | null; readonly pages: PagesOf<S> },
          otherAsked: readonly PageOf<S>[],
        ): Promise<readonly [readonly Page<R>[], readonly Page<S>[]]> {
          const lists = wholeLists(asked);
          const otherLists = lists && other.wholeLists(otherAsked);
          if (lists && otherLists) {
            const found = (await collection
              .aggregate(bothLists(lists, otherLists), reading(lists.limit + otherLists.limit))
              .toArray()) as unknown as Bytes[];
            const [own, others] = untagged(found, [0, 1]);
            const [ownPages, otherPages] = [await lists.pages(own!), await otherLists.pages(others!)];
            if (ownPages && otherPages) return [ownPages, otherPages];
          }
          return Promise.all([pages(asked, altered), other.pages(otherAsked)]);
        },
      });

    return {
      wholeLists,
      /**
       * Returns a function that returns whether a record that is intact is in the list of a filter, by the rule that reads follow. Globs, times and
       * searches are left to the database.
       */
      wanted: (filter: Filter<R>) => wanted(filter),
      /** The same reads for display and deletion: altered records are returned, marked with `isAltered`. */
      evenAltered: reads('shown'),
      /** @throws AlteredRecordError when a record that was found is altered */
      ...reads('refused'),
      ...translatingErrors({
        /**
         * Counts the matches of each filter: exactly up to `most`, and not further. Counts index keys. Only if no index serves a filter, up to
         * `most` records are read, with a second command. All are null if counting takes too long.
         */
        async counts(filters: readonly Filter<R>[], most: number): Promise<(Count | null)[]> {
          await requireKeys(filters);
          return (await unlessTooLong(countsOf(filters, most))) ?? filters.map(() => null);
        },

        /**
         * Returns the ids of the records that match, of at most `most` records that are looked at, in any order. Uses two commands. Null if that
         * takes too long.
         */
        async idsAmong(filter: Filter<R>, most: number): Promise<SomeIds | null> {
          await requireKeys([filter]);
          return unlessTooLong(idsOf(filter, most));
        },

        /** @throws Error when the record is outside the extent */
        async insert(record: R): Promise<R> {
          const [stored] = await insertAll([record]);
          return toRecord(stored!);
        },

        /**
         * Inserts many records with one command.
         * @throws Error when one is outside the extent; TypeError when it has an unknown or a missing field
         */
        async insertAll(records: readonly R[]): Promise<void> {
          if (records.length > 0) await insertAll(records);
        },

        /**
         * Writes the changes if the stored record still has the version of the given one, which must have been read in the same transaction.
         * Returns the changed record. The new MAC covers what was read and the changes: if the stored record has become another in the meantime,
         * it stays altered.
         *
         * @throws ConflictError when the version is another; AlteredRecordError
         */
        update(record: R, changes: Partial<Omit<R, keyof BaseRecord>>, change: Change): Promise<R> {
          return replace(record, changes, { version: record.version + 1, ...change });
        },

        /**
         * Does the same, but neither the version nor `updatedAt` change: for what the gateway does by itself, which must not be in the way of somebody who edits
         * the record. The record must have been read in the same transaction: then one that writes it at the same time conflicts with this one.
         *
         * @throws ConflictError when the version is another; AlteredRecordError
         */
        rewrite(record: R, changes: Partial<Omit<R, keyof BaseRecord>>): Promise<R> {
          database.exempt(organizationId);
          return replace(record, changes, { version: record.version, updatedAt: record.updatedAt });
        },

        /**
         * Writes fields that the MAC does not cover. Neither the version nor the times change, so it is in nobody's way. If what is written follows from
         * other fields, the caller has read the record in the same transaction. `before` is the record that was read, for the events that follow; null if
         * it was altered.
         */
        async annotateAll(
          all: readonly {
            readonly id: string;
            readonly fields: Partial<R>;
            readonly before: R | null;
            readonly also?: readonly Happening[];
          }[],
        ): Promise<void> {
          if (all.length === 0) return;
          const updates = all.map(({ id, fields: values }) => {
            const covered = Object.keys(values).filter((name) => !uncovered.has(name));
            if (covered.length > 0) throw new TypeError(`The MAC covers ${covered.join(' and ')}.`);
            return { updateOne: { filter: written({ id }), update: { $set: storable(allFields, values) } } };
          });
          await collection.bulkWrite(updates as never, { ordered: true, ...database.session() });
          await outbox?.note(
            organizationId,
            all.flatMap(({ before, fields: values, also = [] }) => {
              if (before === null) return also;
              const record = { ...before, ...values };
              const others = happenings(record, before).map(({ type, ...more }) => eventOf(type, record, more));
              return [...also, ...others, ...('state' in values ? stateChange(record, before) : [])];
            }),
          );
        },

        /**
         * Returns the records that satisfy one of some conditions of the store itself, including those that reads hide: at most `limit` of each. `altered` are
         * the ids of those that are not as the gateway wrote them.
         */
        async matching(
          any: readonly Conditions[],
          limit: number,
        ): Promise<{ readonly intact: readonly R[]; readonly altered: readonly string[] }> {
          const branches = any.map((conditions): Stage[] => [{ $match: both(within(extent), conditions) }, { $limit: limit }]);
          const most = limit * any.length;
          const found = (await collection.aggregate(union(collectionName, branches), reading(most)).toArray()) as unknown as Bytes[];
          const read = await reader({});
          const intact = found.map(read);
          const altered = found.flatMap((bytes, index) => (intact[index] ? [] : [decoded(bytes)._id]));
          return { intact: intact.filter((record) => record !== null), altered: altered.filter(isId) };
        },

        /** Notes what has happened to records without changing them. Call it in a transaction, with records that were read in it. */
        async tell(type: Happening['type'], all: readonly R[]): Promise<void> {
          await outbox?.note(
            organizationId,
            all.map((record) => eventOf(type, record)),
          );
        },

        /** Writes the record without changing it, so that this transaction and one that deletes it cannot both commit. */
        async touch(id: string): Promise<boolean> {
          const result = await collection.updateOne(written({ id }), { $set: { touches: newTouch() } }, database.session());
          return result.matchedCount === 1;
        },

        /** Does the same for many records, with one command. */
        async touchAll(ids: readonly string[]): Promise<void> {
          if (ids.length > 0) await collection.updateMany(written({ id: ids }), { $set: { touches: newTouch() } }, database.session());
        },

        /**
         * Writes when records were last used. Changes neither their version nor their times: only for nouns whose `lastUsedAt` is in `unauthenticated`.
         * Those that were never used before are read, in a transaction, for the event that says so.
         */
        async noteUsed(ids: readonly string[], at: Date): Promise<void> {
          if (!unauthenticated.includes('lastUsedAt' as keyof R & string)) throw new Error(`The noun ${noun} has no lastUsedAt.`);
          for (let start = 0; start < ids.length; start += IDS_AT_ONCE) {
            const some = written({ id: ids.slice(start, start + IDS_AT_ONCE) });
            await database.transaction(async () => {
              // In the same snapshot: of two copies of the gateway that note the first use at once, one is repeated and finds a time.
              const first = (await find({ ...some, lastUsedAt: null }, 0)).map(decoded).filter(await authenticator());
              await collection.updateMany(some, { $set: { lastUsedAt: at } }, database.session());
              await outbox?.note(
                organizationId,
                first.map((document) => eventOf('FIRST_USED', { ...toRecord(document), lastUsedAt: at } as BaseRecord)),
              );
            });
          }
        },

        completeKeys,

        /** Returns which of these values a list of some record contains. */
        async containedIn(field: keyof R & string, values: readonly string[]): Promise<Set<string>> {
          const most = 4 * values.length;
          const options = { limit: most, projection: { [field]: 1 }, ...database.session() };
          const documents = await collection.find(written({ [field]: values } as Filter<R>), { ...options, batchSize: most + 1 }).toArray();
          const wanted = new Set(values);
          const contained = new Set(
            documents.flatMap((each) => [(each as Document)[field]].flat() as string[]).filter((each) => wanted.has(each)),
          );
          if (documents.length < most) return contained;
          // Some are in very many records: the others are counted one by one.
          const others = values.filter((each) => !contained.has(each));
          const counts = await countsOf(
            others.map((each) => ({ [field]: each }) as Filter<R>),
            1,
          );
          for (const [at, each] of others.entries()) if (counts[at]!.count > 0) contained.add(each);
          return contained;
        },

        /** Returns the ids of all matching records, including those that reads hide. */
        async ids(filter: Filter<R>): Promise<string[]> {
          const found = await anyModel.find(written(filter), { _id: 1 }).batchSize(IDS_AT_ONCE).lean();
          return found.map(({ _id }) => _id as string);
        },

        /** Deletes all matching records, including those that reads hide. */
        async remove(filter: Filter<R>): Promise<number> {
          if (!isCounted) return (await anyModel.deleteMany(written(filter))).deletedCount;
          const bytes = outbox && !outbox.isSilent() ? await noteDeletion(filter) : await sumOfBytes(anyModel, written(filter));
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
              .batchSize(limit + 1)
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
            .batchSize(limit + 1)
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

/** The length of the time for which the pages of a list that was too long are read one by one, in milliseconds. */
const LONG_LIST_MS = 60_000;

/** How long it is remembered that all records of an organization have keys, in milliseconds. */
const KEYS_KNOWN_MS = 60_000;

const KEYS_AT_ONCE = 200;

/** The number of records that get keys within a request that needs them. */
const KEYS_IN_REQUEST = 1_000;

/** The fields of a document that are not fields of its record: its record has the id under another name. */
const notInRecords: ReadonlySet<string> = new Set([...Object.keys(bookkeeping), '_id', 'id', '__proto__']);

/** Returns the pipeline that reads the lists of two collections. The documents of the second one are tagged with `page`, which is 1. */
function bothLists(first: WholeLists<unknown>, second: WholeLists<unknown>): Stage[] {
  const pipeline = [{ $match: second.conditions }, { $limit: second.limit }, { $addFields: { page: 1 } }];
  return [{ $match: first.conditions }, { $limit: first.limit }, { $unionWith: { coll: second.collectionName, pipeline } }];
}

/** Returns a page of the records of a whole list. Null if one has no value to sort by. */
function pageOf<R extends BaseRecord>(list: readonly R[], request: PageRequest): Page<R> | null {
  const sortValue = (record: R) => record[request.sortField as keyof R] as unknown;
  if (!list.every((record) => typeof sortValue(record) === 'string' || sortValue(record) instanceof Date)) return null;
  const compare = comparing(request);
  const from = request.before ?? request.after;
  const cursor = from && ({ id: from.id, [request.sortField]: from.value } as unknown as BaseRecord);
  const rest = (cursor ? list.filter((record) => compare(record, cursor) > 0) : [...list]).sort(compare);
  const records = rest.slice(0, request.limit);
  if (request.before) records.reverse();
  return { records, hasMore: rest.length > request.limit };
}

/** How to read a page: a few records that are not in order, or records in order, up to a position. Without both, exactly its records. */
interface Reading {
  readonly few?: Conditions;
  readonly inOrder?: Conditions;
  readonly edge?: PageStart;
}

/** What a look in the indexes has found: the number of records of a candidate, or the position where reading ends. */
interface Look extends Document {
  readonly page: number;
  readonly candidate?: number;
  readonly count?: number;
  readonly range?: number;
}

/** Returns the pipelines that look in the indexes for a page. */
function looksOf({ candidates, inOrder }: Exclude<Access, 'direct'>, request: PageRequest, page: number): Stage[][] {
  const sizes = candidates.map((path, candidate): Stage[] => [
    { $match: path },
    { $limit: EXAMINED_MAX + 1 },
    { $count: 'count' },
    { $addFields: { page, candidate } },
  ]);
  const edges = ranges(request).map((each, range): Stage[] => [
    { $match: both(inOrder, each) },
    { $sort: order(request) },
    { $skip: EXAMINED_MAX - 1 },
    { $limit: 1 },
    { $project: { [request.sortField]: 1 } },
    { $addFields: { page, range } },
  ]);
  return [...sizes, ...edges];
}

/**
 * How many records are read for a page at most, if no index serves its filter and its order together. (Twice as many if it begins among many
 * records with the same value of the sort field.)
 */
export const EXAMINED_MAX = 1_000;

/** How many ids come in one reply of the database. */
const IDS_AT_ONCE = 10_000;
