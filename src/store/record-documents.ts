import { type Noun, type NounName, nounTable } from '../access/nouns.ts';
import { AlteredRecordError } from '../errors.ts';
import { isMacOf, macOf, type RecordKey } from '../secrets/record-mac.ts';
import type { Authenticity } from './authenticity.ts';
import { type Fields, fitting, storable, storableWhole } from './fields.ts';
import type { Filter } from './filter.ts';
import { type Bytes, decoded } from './pipelines.ts';
import { type BaseRecord, baseFields, bookkeeping, type Document, isId } from './record.ts';
import type { Selection } from './selection.ts';

export interface DocumentOptions<R extends BaseRecord> {
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
}

/** What to do with an altered record: refuse to return it, or return it for display. */
export type Altered = 'refused' | 'shown';

/** The fields of a document that are not fields of its record: its record has the id under another name. */
const notInRecords: ReadonlySet<string> = new Set([...Object.keys(bookkeeping), '_id', 'id', '__proto__']);

export type Documents<R extends BaseRecord> = ReturnType<ReturnType<typeof recordDocuments<R>>>;

/** Returns how the fields of a noun are stored. */
function formOf<R extends BaseRecord>({ fields, authenticity, unauthenticated = [] }: DocumentOptions<R>) {
  const allFields: Fields = { ...baseFields, ...fields };
  // Anybody who can write to the database can have written these: what does not fit its type is read as blank.
  const unproven = authenticity ? Object.fromEntries(unauthenticated.map((name) => [name, fields[name]!])) : allFields;
  const hasUnproven = Object.keys(unproven).length > 0;
  /** What the MAC does not cover. */
  const uncovered: ReadonlySet<string> = new Set([...Object.keys(bookkeeping), ...unauthenticated]);
  return {
    allFields,
    uncovered,
    isCovered: (field: string): boolean => !uncovered.has(field),
    /** Returns whether a value fits a field of the records. */
    fits: (field: string, value: unknown): boolean => allFields[field]?.fits(value) ?? false,
    /** Returns the values of some fields as they are stored. @throws TypeError when one does not fit */
    storableOf: (values: object) => storable(allFields, values as Document),

    /** Returns the record of a document. */
    toRecord(document: Document): R {
      const record: Record<string, unknown> = { id: document._id };
      for (const name of Object.keys(document)) if (!notInRecords.has(name)) record[name] = document[name];
      return (hasUnproven ? Object.assign(record, fitting(unproven, record)) : record) as unknown as R;
    },
  };
}

/**
 * Returns a function that returns, for a selection, what makes documents of records and records of documents, and what proves by the MAC that the
 * gateway has written a document.
 */
export function recordDocuments<R extends BaseRecord>(options: DocumentOptions<R>) {
  const { noun, authenticity } = options;
  const { label } = nounTable[noun];
  const { allFields, uncovered, isCovered, fits, storableOf, toRecord } = formOf(options);

  return ({ extent: { organizationId, confines }, wanted, visible }: Selection<R>) => {
    const isConfined = confines === 'nothing' || Object.keys(confines).length > 0;

    /** Returns the document of a record, without its MAC. */
    function storedForm({ id, organizationId: _, ...values }: R): Document & { readonly _id: string } {
      return { _id: id, organizationId, ...storableWhole(allFields, values) };
    }

    /** Returns the MAC of a document. */
    async function macFor(document: Document): Promise<object> {
      return authenticity ? { mac: macOf(await authenticity.key(organizationId), noun, document, uncovered) } : {};
    }

    /** Returns a record for display, with values that fit their types. */
    function shownAltered(document: Document): R {
      const { _id: id } = document;
      return { ...fitting(allFields, document), id, organizationId, isAltered: true } as unknown as R;
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
      const fits = sortField === undefined ? undefined : allFields[sortField]?.fits;
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
        records.push(shownAltered(document));
      }
      return records;
    }

    return {
      noun,
      fits,
      isCovered,
      toRecord,
      storableOf,
      storedForm,
      macFor,
      shownAltered,
      report,
      recordKey,
      isIntact,
      authenticator,
      reader,
      recordsOf,
    };
  };
}
