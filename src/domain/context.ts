import type { Viewer } from '../access/viewer.ts';
import type { KindRegistry } from '../credential-kinds/registry.ts';
import type { KeyFiles } from '../key-files/index.ts';
import type { OAuth } from '../services/oauth/index.ts';
import type { Outbound } from '../services/outbound/index.ts';
import type { OrganizationStore, Store } from '../store/index.ts';
import type { Tokens } from './access-token.ts';
import type { Events, OrganizationEvents } from './events.ts';
import type { Findings } from './findings.ts';
import type { LiveEvents } from './live-events.ts';
import type { Policy } from './policy.ts';
import type { CredentialReads } from './reads.ts';
import type { RevocationList } from './revocation-list.ts';
import { type OrganizationHealth, organizationHealth } from './states.ts';
import type { Uses } from './uses.ts';

/** The context that does not depend on a viewer: the store of all organizations, and a clock. */
export interface GatewayContext {
  readonly stores: Store;
  readonly now: () => Date;
  /** The credential kinds of this gateway. */
  readonly kinds: KindRegistry;
  readonly policy: Policy;
  readonly revocations: RevocationList;
  /** Reads and generates keys and certificates for an organization. */
  readonly keyFiles: { of(organizationId: string): KeyFiles };
  /** Where the audit log is streamed to. Absent if nowhere. */
  readonly auditStream?: { requireWorking(organizationId: string): void };
  /** Counts the credentials that viewers read. Absent if reads are not logged. */
  readonly reads?: CredentialReads;
  /** Collects the uses of connections and credentials. */
  readonly uses: Uses;
  /** The way out to third parties. */
  readonly outbound: Outbound;
  readonly oauth: OAuth;
  /** Obtains and refreshes access tokens. */
  readonly tokens: Tokens;
  /** Collects what is learned by using credentials. */
  readonly findings: Findings;
  /** The events of all organizations. */
  readonly events: Events;
  /** Gives events to listeners as they happen. */
  readonly live: LiveEvents;
}

/** The first parameter of every domain function: the viewer, the store that the viewer may use, and a clock. */
export interface DomainContext {
  readonly viewer: Viewer;
  /** The store of the viewer's organization. It contains nothing of other organizations, and nothing outside the viewer's limit. */
  readonly store: OrganizationStore;
  readonly now: () => Date;
  readonly kinds: KindRegistry;
  readonly policy: Policy;
  /** The revoked tokens and deleted organizations, in memory. A function that revokes adds to it after its transaction. */
  readonly revocations: RevocationList;
  /** Creates what reads and generates the keys and certificates of one mutation. */
  readonly keyFiles: () => KeyFiles;
  readonly auditStream?: { requireWorking(organizationId: string): void };
  /** Counts the credentials that the viewer reads. Absent if reads are not logged. */
  readonly reads?: CredentialReads;
  /** Collects the uses of connections and credentials. */
  readonly uses: Uses;
  /** The way out to third parties. */
  readonly outbound: Outbound;
  readonly oauth: OAuth;
  /** Obtains and refreshes access tokens. */
  readonly tokens: Tokens;
  /**
   * Returns the context without the viewer’s limit, for what the gateway does itself for a limited viewer: an end user’s consent uses the client of
   * the integration, which the end user cannot see. What it reads must not be returned to the viewer.
   */
  readonly unlimited: () => DomainContext;
  /** Collects what is learned by using credentials. */
  readonly findings: Findings;
  /** The health of the organization's credentials and connections. */
  readonly health: OrganizationHealth;
  /** The events of the organization. */
  readonly events: OrganizationEvents;
  /** Gives events to listeners as they happen. */
  readonly live: LiveEvents;
}

/** Creates the context of a viewer, with the store of its organization within its limit. */
export function contextOf(gateway: GatewayContext, viewer: Viewer): DomainContext {
  const { stores, keyFiles, events, ...shared } = gateway;
  const { organizationId, confinedTo } = viewer;
  const { confinedTo: _, ...unlimitedViewer } = viewer;
  return {
    viewer,
    store: stores.of(organizationId, confinedTo),
    keyFiles: () => keyFiles.of(organizationId),
    health: organizationHealth(gateway, organizationId),
    events: events.of(organizationId),
    unlimited: () => contextOf(gateway, unlimitedViewer),
    ...shared,
  };
}
