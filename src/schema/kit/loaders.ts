import DataLoader from 'dataloader';
import { type Noun, nouns } from '../../access/scopes.ts';
import type { DomainContext } from '../../domain/context.ts';
import { type Filter, type Page, type PageOf, type RecordOf, readByIds, readCounts, readPages } from '../../domain/reading.ts';

/** How many pages or counts one command may hold. */
const PAGES_PER_COMMAND = 200;
/** How many ids one command may ask for. */
const IDS_PER_COMMAND = 1_000;

interface NounLoaders<N extends Noun> {
  readonly byId: DataLoader<string, RecordOf[N] | null>;
  readonly page: DataLoader<PageOf<RecordOf[N]>, Page<RecordOf[N]>>;
  readonly count: DataLoader<Filter<RecordOf[N]>, number | null>;
}

export type Loaders = { readonly [N in Noun]: NounLoaders<N> };

/** Loaders of one request: what its resolvers ask for one by one is read from the database together. */
export function createLoaders(context: DomainContext): Loaders {
  return Object.fromEntries(nouns.map((noun) => [noun, loadersOf(context, noun)])) as unknown as Loaders;
}

/** Forgets what was read, because something is about to change. */
export function forgetRead(loaders: Loaders): void {
  for (const { byId } of Object.values(loaders)) byId.clearAll();
}

function loadersOf<N extends Noun>(context: DomainContext, noun: N): NounLoaders<N> {
  return {
    byId: new DataLoader(
      async (ids) => {
        const found = new Map((await readByIds(context, noun, ids)).map((record) => [record.id, record]));
        return ids.map((id) => found.get(id) ?? null);
      },
      { maxBatchSize: IDS_PER_COMMAND },
    ),
    page: new DataLoader((pages) => readPages(context, noun, pages), { maxBatchSize: PAGES_PER_COMMAND, cache: false }),
    count: new DataLoader((filters) => readCounts(context, noun, filters), { maxBatchSize: PAGES_PER_COMMAND, cache: false }),
  };
}
