import { type Noun, nounTable, type PluralOf } from '../access/nouns.ts';
import type { APIKeyRecord } from '../store/api-key.ts';
import type { AuditRecord } from '../store/audit.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { OrganizationStore } from '../store/index.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { Filter, Page, PageOf, RecordStore } from '../store/records.ts';
import type { DomainContext } from './context.ts';

export type { Binding } from '../store/connection.ts';
export type { AuthScheme } from '../store/connector.ts';
export { type Contact, contactTypes } from '../store/end-user.ts';
export { GLOB_MAX_LENGTH, GLOB_MAX_STARS } from '../store/glob.ts';
export type { SSOClaimSettings, SSOUserField } from '../store/integration.ts';
export type { BaseRecord, Filter, Page, PageOf, PageRequest, PageStart } from '../store/records.ts';
export type { SecretFacts } from '../store/secret.ts';
export type { APIKeyRecord, AuditRecord, ConnectionRecord, ConnectorRecord, CredentialRecord, EndUserRecord, IntegrationRecord };

/** The record of each noun: what its store, the member of its plural's name, holds. */
export interface RecordOf extends RecordsByNoun {}
type RecordsByNoun = { readonly [N in Noun]: Awaited<ReturnType<OrganizationStore[PluralOf<N>]['byIds']>>[number] };

/** Counting stops here; what is more is not told. */
export const COUNT_MAX = 100_000;

/** Those of the ids that exist in the viewer's organization, in no particular order; one command, however many. */
export async function readByIds<N extends Noun>(context: DomainContext, noun: N, ids: readonly string[]): Promise<RecordOf[N][]> {
  return shown(context, noun, await records(context, noun).byIds(ids));
}

/** The records that this gateway can show: all but credentials of a kind that it was not given, which are kept for one that was. */
export function shown<N extends Noun>({ kinds }: DomainContext, noun: N, found: readonly RecordOf[N][]): RecordOf[N][] {
  return found.filter((record) => noun !== 'credential' || kinds.find((record as CredentialRecord).kind));
}

/** Pages of lists of one noun; one command, however many. @throws TimeoutError */
export function readPages<N extends Noun>(
  context: DomainContext,
  noun: N,
  pages: readonly PageOf<RecordOf[N]>[],
): Promise<Page<RecordOf[N]>[]> {
  return records(context, noun).pages(pages);
}

/** How many records each filter finds, null where that is more than `COUNT_MAX` or takes too long; one command, however many. */
export function readCounts<N extends Noun>(
  context: DomainContext,
  noun: N,
  filters: readonly Filter<RecordOf[N]>[],
): Promise<(number | null)[]> {
  return records(context, noun).counts(filters, COUNT_MAX);
}

function records<N extends Noun>({ store }: DomainContext, noun: N): RecordStore<RecordOf[N]> {
  return store[nounTable[noun].plural] as RecordStore<RecordOf[N]>;
}
