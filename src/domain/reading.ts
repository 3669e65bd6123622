import { type Noun, nounTable, type PluralOf } from '../access/nouns.ts';
import type { APIKeyRecord } from '../store/api-key.ts';
import type { AuditRecord } from '../store/audit.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { EventRecord } from '../store/event.ts';
import type { OrganizationStore } from '../store/index.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { Count, Filter, Page, PageOf, RecordStore } from '../store/records.ts';
import type { WebhookDeliveryRecord, WebhookRecord } from '../store/webhook.ts';
import type { DomainContext } from './context.ts';
import { readableNouns } from './events.ts';
import { formsOf } from './references.ts';
import { byUse, countByUse, pageByUse } from './unused.ts';

export type { Binding } from '../store/connection.ts';
export type { AuthScheme } from '../store/connector.ts';
export { type Contact, contactTypes } from '../store/end-user.ts';
export { GLOB_MAX_LENGTH, GLOB_MAX_STARS } from '../store/glob.ts';
export type { SSOClaimSettings, SSOUserField } from '../store/integration.ts';
export type { Actor, BaseRecord, Count, Filter, Page, PageOf, PageRequest, PageStart } from '../store/records.ts';
export type { SecretFacts } from '../store/secret.ts';
export type {
  APIKeyRecord,
  AuditRecord,
  ConnectionRecord,
  ConnectorRecord,
  CredentialRecord,
  EndUserRecord,
  EventRecord,
  IntegrationRecord,
  WebhookDeliveryRecord,
  WebhookRecord,
};

/** The record type of each noun, taken from its store, which has the name of the noun's plural. */
export interface RecordOf extends RecordsByNoun {}
type RecordsByNoun = { readonly [N in Noun]: Awaited<ReturnType<OrganizationStore[PluralOf<N>]['byIds']>>[number] };

/** Counting stops here. */
export const COUNT_MAX = 10_000;

/** Returns the records with these ids that exist in the viewer's organization, in any order, even altered ones: for display. Uses one command. */
export async function readByIds<N extends Noun>(context: DomainContext, noun: N, ids: readonly string[]): Promise<readonly RecordOf[N][]> {
  const found = shown(context, noun, await records(context, noun).evenAltered.byIds(ids));
  if (noun !== 'event') return found;
  const nouns = readableNouns(context.viewer);
  return found.filter((event) => nouns.includes((event as EventRecord).objectNoun));
}

/** An end user, as another system knows it: the id of its integration, and its external id there. */
export interface ExternalId {
  readonly integrationId: string;
  readonly externalId: string;
}

/** The most integrations of which end users are read in one command. */
const INTEGRATIONS_PER_COMMAND = 200;

/** Returns the end user of each external id, and null if there is none, even altered ones: for display. Uses one command for 200 integrations. */
export async function readByExternalIds({ store }: DomainContext, asked: readonly ExternalId[]): Promise<(EndUserRecord | null)[]> {
  const byIntegration = new Map<string, Set<string>>();
  for (const { integrationId, externalId } of asked) {
    const externalIds = byIntegration.get(integrationId) ?? new Set();
    byIntegration.set(integrationId, externalIds.add(externalId));
  }
  const filters = [...byIntegration].map(([integrationId, externalIds]) => ({ integrationId, externalId: [...externalIds] }));
  const found = new Map<string, EndUserRecord>();
  const keyOf = ({ integrationId, externalId }: ExternalId) => `${integrationId} ${externalId}`;
  for (let first = 0; first < filters.length; first += INTEGRATIONS_PER_COMMAND) {
    const records = await store.endUsers.evenAltered.allOf(filters.slice(first, first + INTEGRATIONS_PER_COMMAND));
    for (const record of records) found.set(keyOf(record), record);
  }
  return asked.map((each) => found.get(keyOf(each)) ?? null);
}

/** Returns the integration of each name, and null if there is none, even altered ones: for display. Uses one command. */
export async function readByNames({ store }: DomainContext, names: readonly string[]): Promise<(IntegrationRecord | null)[]> {
  const forms = names.map((name) => [formsOf(name)].flat());
  const records = await store.integrations.evenAltered.all({ name: [...new Set(forms.flat())] });
  const found = new Map(records.map((record) => [record.name, record]));
  return forms.map((some) => some.map((form) => found.get(form)).find((record) => record !== undefined) ?? null);
}

/** Leaves out credentials of a kind that this gateway does not know. They stay stored, for a gateway that knows it. */
export function shown<N extends Noun>(
  { kinds }: Pick<DomainContext, 'kinds'>,
  noun: N,
  found: readonly RecordOf[N][],
): readonly RecordOf[N][] {
  if (noun !== 'credential') return found;
  return found.filter((record) => {
    // No credential is stored under a kind that exists only as input, except by somebody else.
    const kind = kinds.find((record as CredentialRecord).kind);
    return kind !== undefined && !kind.storedAs;
  });
}

/** Reads pages of lists of one noun, with altered records: for display. Uses one command. @throws TimeoutError */
export function readPages<N extends Noun>(
  context: DomainContext,
  noun: N,
  pages: readonly PageOf<RecordOf[N]>[],
): Promise<Page<RecordOf[N]>[]> {
  return byUse(pages, ({ filter }) => filter, {
    plain: (some) => records(context, noun).evenAltered.pages(some),
    unused: (page, filter, unused) => pageByUse(context, { ...page, filter }, unused) as Promise<Page<RecordOf[N]>>,
  });
}

/** The same for lists of one noun and of another one. Uses one command if the lists are short. @throws TimeoutError */
export function readPagesOfTwo<N extends Noun, M extends Noun>(
  context: DomainContext,
  noun: N,
  pages: readonly PageOf<RecordOf[N]>[],
  other: M,
  otherPages: readonly PageOf<RecordOf[M]>[],
): Promise<readonly [readonly Page<RecordOf[N]>[], readonly Page<RecordOf[M]>[]]> {
  const { wholeLists, evenAltered } = records(context, other);
  return records(context, noun).evenAltered.pagesOfTwo(pages, { wholeLists, pages: evenAltered.pages }, otherPages);
}

/** Counts the records that match each filter, exactly up to `COUNT_MAX`. Null if it takes too long. Uses one command, or two. */
export function readCounts<N extends Noun>(
  context: DomainContext,
  noun: N,
  filters: readonly Filter<RecordOf[N]>[],
): Promise<(Count | null)[]> {
  return byUse(filters, (filter) => filter, {
    plain: (some) => records(context, noun).counts(some, COUNT_MAX),
    unused: (_, filter, unused) => countByUse(context, filter, unused),
  });
}

function records<N extends Noun>({ store }: DomainContext, noun: N): RecordStore<RecordOf[N]> {
  return store[nounTable[noun].plural] as RecordStore<RecordOf[N]>;
}
