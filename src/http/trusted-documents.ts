import { createHash } from 'node:crypto';
import { type GraphQLSchema, parse } from 'graphql';
import type { ViewerKind } from '../access/viewer.ts';
import type { Limits } from '../limits.ts';
import { rulesFor, validateDocument } from './document-validation.ts';
import { malformedRequest, noPersistedDocuments, unknownDocument } from './error-redaction.ts';
import { checkDocument, checkTokens } from './limits/document.ts';

/** The documents that the operator trusts, as the tools of clients write them. */
export interface TrustedDocumentsSettings {
  /** The manifests: a name for messages, such as the path of the file, and the JSON. */
  readonly manifests: readonly { readonly name: string; readonly json: string }[];
  /** Viewers of these kinds can send no other documents. `endUser` by default. */
  readonly requiredFor?: readonly ViewerKind[];
}

/** A manifest is not one, or a document in it cannot run. The message contains nothing of it but the id of the document. */
export class TrustedDocumentsError extends Error {
  override name = 'TrustedDocumentsError';
}

export interface TrustedDocuments {
  /** Returns the document with an id: a hash in hexadecimal digits, with the name of its algorithm and a colon before it or without. */
  readonly find: (id: string) => string | undefined;
  /** Returns whether a text is one of the documents. */
  readonly has: (text: string) => boolean;
  readonly isRequiredFor: (kind: ViewerKind) => boolean;
}

/** The maximum size of all manifests, in MiB of UTF-8, and the maximum number of documents: about five seconds at the start. */
const MEBIBYTES_MAX = 8;
const DOCUMENTS_MAX = 5_000;

/** The algorithms by the length of their hashes. The operator trusts the manifest itself; a hash only says that nothing in it is mixed up. */
const algorithms: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 64: 'sha256' };
const ID = /^(?:(md5|sha1|sha256):)?([0-9a-f]+)$/;

/**
 * Reads manifests: the map from hashes to documents that the client preset of GraphQL Code Generator and Relay’s compiler write, or Apollo's operation
 * manifest. Each hash must be that of its document, and each document must be valid for the schema and within the limits of documents.
 *
 * @throws TrustedDocumentsError
 */
export function readTrustedDocuments(
  { manifests, requiredFor = ['endUser'] }: TrustedDocumentsSettings,
  schema: GraphQLSchema,
  limits: Limits,
): TrustedDocuments {
  if (manifests.reduce((sum, { json }) => sum + Buffer.byteLength(json), 0) > MEBIBYTES_MAX * 1024 * 1024) {
    throw new TrustedDocumentsError(`the manifests are too large: at most ${MEBIBYTES_MAX} MiB together`);
  }
  const texts = new Map<string, string>();
  const seen = new Set<string>();
  for (const { name, json } of manifests) {
    for (const [id, text] of entriesOf(name, json)) {
      const [, prefix, hash] = ID.exec(id) ?? [];
      const algorithm = hash && algorithms[hash.length];
      const where = `${name}: the document ${hash ?? 'with an id that is no hash'}`;
      if (!algorithm || (prefix && prefix !== algorithm)) {
        throw new TrustedDocumentsError(`${where}: its id must be a hash in hexadecimal digits, by SHA-256, SHA-1 or MD5`);
      }
      if (createHash(algorithm).update(text).digest('hex') !== hash) {
        throw new TrustedDocumentsError(`${where}: its id is not its ${algorithm} hash. Generate the manifest anew`);
      }
      if (texts.size >= DOCUMENTS_MAX) throw new TrustedDocumentsError(`there are too many documents: at most ${DOCUMENTS_MAX}`);
      if (!seen.has(text)) check(where, text, schema, limits);
      seen.add(text);
      texts.set(hash, text);
    }
  }
  if (texts.size === 0) throw new TrustedDocumentsError('the manifests contain no documents');
  return {
    find: (id) => texts.get(ID.exec(id.toLowerCase())?.[2] ?? ''),
    has: (text) => seen.has(text),
    isRequiredFor: (kind) => requiredFor.includes(kind),
  };
}

/** Returns the ids and the documents in a manifest. */
function entriesOf(name: string, json: string): readonly (readonly [string, string])[] {
  const wrong = (what: string) => new TrustedDocumentsError(`${name} ${what}`);
  let manifest: unknown;
  try {
    manifest = JSON.parse(json);
  } catch {
    throw wrong('is not JSON');
  }
  if (typeof manifest !== 'object' || manifest === null) throw wrong('is not a manifest');
  const entries: readonly (readonly unknown[])[] = 'operations' in manifest ? operationsIn(manifest, wrong) : Object.entries(manifest);
  if (!entries.flat().every((each) => typeof each === 'string')) {
    throw wrong('is not a manifest: each document must be a text, under its hash');
  }
  return entries as readonly (readonly [string, string])[];
}

/** Returns what Apollo's operation manifest contains. */
function operationsIn(manifest: object, wrong: (what: string) => Error): readonly unknown[][] {
  const { format, version, operations } = manifest as Readonly<Record<string, unknown>>;
  if (format !== 'apollo-persisted-query-manifest' || version !== 1 || !Array.isArray(operations)) {
    throw wrong('is not an operation manifest of the format apollo-persisted-query-manifest, version 1');
  }
  return operations.map((operation) => [operation?.id, operation?.body]);
}

/** @throws TrustedDocumentsError when the document cannot run, whatever the variables are */
function check(where: string, text: string, schema: GraphQLSchema, limits: Limits): void {
  try {
    checkTokens(text, limits);
    const document = parse(text);
    checkDocument(document, limits);
    const [error] = validateDocument(schema, document, rulesFor(limits), undefined, undefined);
    if (error) throw error;
  } catch (error) {
    const { message } = error as Error;
    throw new TrustedDocumentsError(`${where} ${message.startsWith('Syntax Error') ? 'is not GraphQL' : `cannot run: ${message}`}`);
  }
}

/**
 * The members of a request that name a trusted document: that of GraphQL over HTTP (appendix A, "Persisted Documents"), and those that Relay's
 * documentation uses. With `query`, they are ignored.
 */
export const idMembers: readonly string[] = ['documentId', 'doc_id', 'id'];

/** The id of a trusted document that a request names and does not contain itself. */
interface Named {
  readonly id: unknown;
  /** Whether it is named as Apollo's clients do, which then send it again, with the document. */
  readonly isApollo: boolean;
}

function namedDocument(params: Readonly<Record<string, unknown>>): Named | undefined {
  if (params.query != null) return undefined;
  const member = idMembers.find((name) => params[name] != null) ?? idMembers.find((name) => name in params);
  if (member !== undefined) return { id: params[member], isApollo: false };
  if (!isObject(params.extensions) || !('persistedQuery' in params.extensions)) return undefined;
  const { persistedQuery } = params.extensions;
  return { id: isObject(persistedQuery) ? persistedQuery.sha256Hash : undefined, isApollo: true };
}

/**
 * Returns the text of the trusted document that a request names. Undefined if it names none.
 * @throws GraphQLError when there is no such document
 */
export function namedText(params: Readonly<Record<string, unknown>>, trusted: TrustedDocuments | undefined): string | undefined {
  const named = namedDocument(params);
  if (!named) return undefined;
  if (!trusted) throw noPersistedDocuments();
  if (typeof named.id !== 'string') throw malformedRequest();
  const text = trusted.find(named.id);
  if (text === undefined) throw unknownDocument(named.isApollo);
  return text;
}

/** Whether a value in the parameters of a request is an object of JSON. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
