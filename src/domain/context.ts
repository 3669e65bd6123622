import type { Viewer } from '../access/viewer.ts';
import type { KindRegistry } from '../credential-kinds/registry.ts';
import type { OrganizationStore, Store } from '../store/index.ts';

/** What the gateway works with, whoever asks: what is kept of all organizations, and what time it is. */
export interface GatewayContext {
  readonly stores: Store;
  readonly now: () => Date;
  /** The credential kinds that there are. */
  readonly kinds: KindRegistry;
}

/** What every domain function gets first: who asks, what there is for them, and what time it is. */
export interface DomainContext {
  readonly viewer: Viewer;
  /** The store of the viewer's organization. In it nothing can be named that is another's, or beyond the viewer's limit. */
  readonly store: OrganizationStore;
  readonly now: () => Date;
  readonly kinds: KindRegistry;
}

/** Where a viewer acts: in its organization, and within its limit. */
export function contextOf({ stores, now, kinds }: GatewayContext, viewer: Viewer): DomainContext {
  return { viewer, store: stores.of(viewer.organizationId, viewer.confinedTo), now, kinds };
}
