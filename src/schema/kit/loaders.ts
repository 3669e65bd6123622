import DataLoader from 'dataloader';
import { type Noun, nouns } from '../../access/scopes.ts';
import type { DomainContext } from '../../domain/context.ts';
import { credentialErrors } from '../../domain/credential.ts';
import { type Visibility, visibilityOf } from '../../domain/credential-visibility.ts';
import type { ConnectionHealth } from '../../domain/health.ts';
import {
  type ConnectionRecord,
  type Count,
  type CredentialRecord,
  type ExternalId,
  type Filter,
  type Page,
  type PageOf,
  type RecordOf,
  readByExternalIds,
  readByIds,
  readByNames,
  readCounts,
  readPages,
  readPagesOfTwo,
} from '../../domain/reading.ts';
import { type PlannedUse, planUses, type UsePlan } from '../../domain/use.ts';

/** The maximum number of pages or counts in one command. */
const PAGES_PER_COMMAND = 200;
/** The maximum number of ids in one command. */
const IDS_PER_COMMAND = 1_000;

interface NounLoaders<N extends Noun> {
  readonly byId: DataLoader<string, RecordOf[N] | null>;
  readonly page: DataLoader<PageOf<RecordOf[N]>, Page<RecordOf[N]>>;
  readonly count: DataLoader<Filter<RecordOf[N]>, Count | null>;
}

/** Pages of the connections and of the connectors that use a credential. */
export interface Uses {
  readonly connections: PageOf<RecordOf['connection']>;
  readonly connectors: PageOf<RecordOf['connector']>;
}

type LoadersByNoun = { readonly [N in Noun]: NounLoaders<N> };
export type Loaders = LoadersByNoun & {
  /** An end user by its external id. */
  readonly endUserByExternalId: DataLoader<ExternalId, RecordOf['endUser'] | null, string>;
  /** An integration by its name. */
  readonly integrationByName: DataLoader<string, RecordOf['integration'] | null>;
  /** The problems of a credential, including secrets that cannot be opened. */
  readonly credentialErrors: DataLoader<CredentialRecord, readonly string[] | null>;
  /** Whether the viewer can see a credential that another record names, by its id. */
  readonly credentialVisibility: DataLoader<string, Visibility>;
  /** Whether a connection works. */
  readonly connectionHealth: DataLoader<ConnectionRecord, ConnectionHealth>;
  /** How the credentials of a connection are applied to requests. */
  readonly requestPlan: DataLoader<PlannedUse, UsePlan>;
  /** The pages of connections and connectors that use a credential. */
  readonly uses: DataLoader<Uses, readonly [Page<RecordOf['connection']>, Page<RecordOf['connector']>]>;
};

/** Creates the loaders of one request. They batch the reads of its resolvers into few database commands. */
export function createLoaders(context: DomainContext): Loaders {
  const byNoun = Object.fromEntries(nouns.map((noun) => [noun, loadersOf(context, noun)])) as unknown as LoadersByNoun;
  const credentialErrorsLoader = new DataLoader((credentials: readonly CredentialRecord[]) => credentialErrors(context, credentials), {
    cache: false,
    maxBatchSize: IDS_PER_COMMAND,
  });
  const connectionHealthLoader = new DataLoader((connections: readonly ConnectionRecord[]) => context.health.ofConnections(connections), {
    cache: false,
    maxBatchSize: PAGES_PER_COMMAND,
  });
  const visibilityLoader = new DataLoader(
    async (ids: readonly string[]) => {
      const visibility = await visibilityOf(context, ids);
      return ids.map((id) => visibility.get(id)!);
    },
    { maxBatchSize: IDS_PER_COMMAND },
  );
  const requestPlanLoader = new DataLoader((uses: readonly PlannedUse[]) => planUses(context, uses), {
    cache: false,
    maxBatchSize: PAGES_PER_COMMAND,
  });
  const usesLoader: Loaders['uses'] = new DataLoader(
    async (uses) => {
      const connections = uses.map(({ connections }) => connections);
      const connectors = uses.map(({ connectors }) => connectors);
      const [read, alsoRead] = await readPagesOfTwo(context, 'connection', connections, 'connector', connectors);
      return uses.map((_, index) => [read[index]!, alsoRead[index]!] as const);
    },
    { maxBatchSize: PAGES_PER_COMMAND, cache: false },
  );
  const options = { maxBatchSize: IDS_PER_COMMAND };
  return {
    ...byNoun,
    endUserByExternalId: new DataLoader((asked) => readByExternalIds(context, asked), {
      ...options,
      cacheKeyFn: ({ integrationId, externalId }) => `${integrationId} ${externalId}`,
    }),
    integrationByName: new DataLoader((asked) => readByNames(context, asked), options),
    uses: usesLoader,
    credentialErrors: credentialErrorsLoader,
    credentialVisibility: visibilityLoader,
    connectionHealth: connectionHealthLoader,
    requestPlan: requestPlanLoader,
  };
}

/** Returns the loaders of one noun. */
export function loadersFor<N extends Noun>(loaders: LoadersByNoun, noun: N): NounLoaders<N> {
  return loaders[noun];
}

/** Clears the caches, because a mutation is about to change data. */
export function forgetRead(loaders: Loaders): void {
  for (const noun of nouns) loaders[noun].byId.clearAll();
  loaders.endUserByExternalId.clearAll();
  loaders.integrationByName.clearAll();
  loaders.credentialVisibility.clearAll();
}

function loadersOf<N extends Noun>(context: DomainContext, noun: N): NounLoaders<N> {
  return {
    byId: new DataLoader(
      async (ids) => {
        const records = await readByIds(context, noun, ids);
        countReads(context, noun, records);
        const found = new Map(records.map((record) => [record.id, record]));
        return ids.map((id) => found.get(id) ?? null);
      },
      { maxBatchSize: IDS_PER_COMMAND },
    ),
    page: new DataLoader(
      async (pages) => {
        const read = await readPages(context, noun, pages);
        for (const { records } of read) countReads(context, noun, records);
        return read;
      },
      { maxBatchSize: PAGES_PER_COMMAND, cache: false },
    ),
    count: new DataLoader((filters) => readCounts(context, noun, filters), { maxBatchSize: PAGES_PER_COMMAND, cache: false }),
  };
}

/** Counts credentials that are read, if reads are logged. */
function countReads<N extends Noun>({ reads, viewer }: DomainContext, noun: N, records: readonly RecordOf[N][]): void {
  if (noun === 'credential') reads?.add(viewer, records as readonly CredentialRecord[]);
}
