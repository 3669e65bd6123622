import type { Viewer } from '../access/viewer.ts';
import type { KindRegistry } from '../credential-kinds/registry.ts';
import { confined } from '../store/confinement.ts';
import type { Store } from '../store/index.ts';

/** What the gateway works with, whoever asks: what is kept, and what time it is. */
export interface GatewayContext {
  readonly store: Store;
  readonly now: () => Date;
  /** The credential kinds that there are. */
  readonly kinds: KindRegistry;
}

/** What every domain function gets first: the above, and who asks. */
export interface DomainContext extends GatewayContext {
  readonly viewer: Viewer;
}

/** Where a viewer acts: a viewer who is limited finds nothing beyond the limit, whatever is asked for. */
export function contextOf(outer: GatewayContext, viewer: Viewer): DomainContext {
  return { ...outer, viewer, store: viewer.confinedTo ? confined(outer.store, viewer.confinedTo) : outer.store };
}
