import type { mongo } from 'mongoose';
import type { Confinement } from '../access/viewer.ts';
import type { KeyProvider } from '../secrets/key-provider.ts';
import { apiKeyStore } from './api-key.ts';
import { auditStore } from './audit.ts';
import type { Alteration, Authenticity } from './authenticity.ts';
import { authorizationStore } from './authorization.ts';
import { confinedMembers, type Limited } from './confinement.ts';
import { connectionStore, type DerivedConnectionHealth, replacedIndexes } from './connection.ts';
import { connectorStore } from './connector.ts';
import { credentialStore, type DerivedHealth } from './credential.ts';
import type { Database } from './database.ts';
import { endUserStore } from './end-user.ts';
import { endUserTokenStore } from './end-user-token.ts';
import { eventStore } from './event.ts';
import type { Extent } from './extent.ts';
import { UNSETTLED } from './health.ts';
import { idempotencyStore } from './idempotency.ts';
import { integrationStore } from './integration.ts';
import { createKeyring } from './keyring.ts';
import { lazily } from './lazily.ts';
import { leaseStore } from './lease.ts';
import { organizationStore } from './organization.ts';
import { createOutbox } from './outbox.ts';
import { platformLog } from './platform.ts';
import { rateLimitStore } from './rate-limit.ts';
import { revocationStore } from './revocation.ts';
import { secretStore, type UnreadableSecret } from './secret.ts';
import { slotStore } from './slots.ts';
import { ssoLinkStore } from './sso-link.ts';
import { type StorageLimits, usageStore } from './usage.ts';
import { createVerifiedRecords } from './verified.ts';
import { webhookDeliveryStore, webhookStore } from './webhook.ts';
import { webhookQueueStore } from './webhook-queue.ts';

export type { StorageLimits };

/** The store of all organizations. */
export type Store = ReturnType<typeof createStore>;

/** The functions that create the members of an organization's store. */
export type Members = ReturnType<typeof createMembers>['members'];

/** The store of one organization, by noun. It cannot access other organizations. */
export type OrganizationStore = { readonly [M in keyof Members]: ReturnType<Members[M]> };

/** Options of a store. */
export interface StoreOptions {
  /** What an organization can store. Nothing is limited by default. */
  readonly storageLimits?: StorageLimits;
  /** Called with each altered record that is read. */
  readonly onAltered?: (alteration: Alteration) => void;
  /** Called with each secret that cannot be opened. */
  readonly onUnreadable?: (secret: Pick<UnreadableSecret, 'organizationId' | 'credentialId' | 'field'>) => void;
  /** The health of a credential and of a connection that are written. By default, it is determined when somebody searches by it. */
  readonly health?: { readonly credential: DerivedHealth; readonly connection: DerivedConnectionHealth };
  /** Returns the names of the settings of a kind that credentials are found by; undefined if the kind is not known. None by default. */
  readonly searchableOf?: (kind: string) => readonly string[] | undefined;
}

/** Creates the store on an open database. Call `prepare` once before the first use. */
export function createStore(database: Database, keyProvider: KeyProvider, now: () => Date, options: StoreOptions = {}) {
  const { keyring, organizations, revocations, authorizations, members, outbox, platform } = createMembers(
    database,
    keyProvider,
    now,
    options,
  );
  const whole = lazily<Extent, OrganizationStore>(members);
  const confined = lazily<Limited, OrganizationStore>(confinedMembers);
  return {
    /** Returns the store of one organization, or the part of it within a viewer's limit. Cheap to call. */
    of(organizationId: string, confinement?: Confinement): OrganizationStore {
      const all = whole({ organizationId, confines: {} });
      return confinement ? confined({ organizationId, confinement, members, whole: all }) : all;
    },
    /** Returns the organizations that are not deleted. */
    liveOrganizations: organizations.live,
    deletedOrganizations: organizations.deleted,
    revocations: revocations.ofAll,
    /** Returns the organization that has an authorization with this state. */
    organizationOfState: authorizations.organizationOf,
    /** Returns the organizations whose audit logs this process has written to. */
    writtenAuditLogs: members.audit.written,
    /** Returns those that it has written to since this was called last. */
    changedAuditLogs: members.audit.changed,
    /** Collects what happens to objects, and says when it is committed. */
    outbox,
    /** Returns the positions of the newest events of some organizations. One read by an index. */
    newestEvents: members.events.newest,
    /** Returns how far the webhooks have come that deliver, of one organization or of all. One read by an index. */
    activeWebhooks: members.webhookQueue.active,
    /** Returns the organizations that have webhooks. */
    organizationsWithWebhooks: members.webhookQueue.organizations,
    /** The log of the platform, which belongs to no organization. `of(platform.organizationId).audit` reads and writes it. */
    platform,
    keyring,
    rateLimits: rateLimitStore(database),
    transaction: database.transaction,
    serve: database.serve,

    /**
     * Creates missing collections and indexes. Collections must exist, because they cannot be created in a transaction. Removes replaced
     * indexes after their successors exist, so at any time there is a unique index.
     */
    async prepare(): Promise<void> {
      await Promise.all(
        Object.values(database.connection.models).map(async (model) => {
          // One command for all indexes of a collection, which also creates the collection; mongoose sends one for each.
          const indexes = model.schema
            .indexes()
            .map(([key, { background: _, ...options }]) => ({ key, ...options }) as mongo.IndexDescription);
          if (indexes.length > 0) await model.collection.createIndexes(indexes);
          else await model.createCollection();
        }),
      );
      await database.dropIndexes('connections', replacedIndexes);
      // In a database that is not new, a missing log of the platform was removed, or comes from an older version.
      if ((await keyring.isEmpty()) && (await organizations.isEmpty())) await platform.begin(now());
    },
    /** @throws Error when the database does not answer */
    async ping(): Promise<void> {
      await database.connection.db!.command({ ping: 1 }, { timeoutMS: 2_000 });
    },
    async close(): Promise<void> {
      await database.connection.close();
    },
  };
}

function createMembers(
  database: Database,
  keyProvider: KeyProvider,
  now: () => Date,
  { storageLimits, onAltered = () => {}, onUnreadable = () => {}, health = unsettledHealth, searchableOf = () => undefined }: StoreOptions,
) {
  const { keysOf, recordKeyOf, ...keyring } = createKeyring(database, keyProvider);
  const outbox = createOutbox(database, now, recordKeyOf);
  const authenticity: Authenticity = { key: recordKeyOf, report: onAltered, verified: createVerifiedRecords(), outbox };
  const organizations = organizationStore(database, usageStore(database, storageLimits));
  const revocations = revocationStore(database);
  const authorizations = authorizationStore(database, now);
  const audit = auditStore(database, outbox);
  const platform = platformLog(database, (extent) => {
    const keys = keysOf(extent);
    return { keys, audit: audit(extent, { keys }) };
  });
  const credentials = credentialStore(database, authenticity, now, health.credential, searchableOf);
  /** Nothing proves the kind of an altered one. */
  const kindsOf = async (organizationId: string, ids: readonly string[]) => {
    const found = await credentials({ organizationId, confines: {} }).evenAltered.byIds(ids);
    return new Map(found.flatMap(({ id, kind, isAltered }) => (isAltered ? [] : [[id, kind] as const])));
  };
  const members = {
    /** The organization's own record. */
    organization: organizations.of,
    integrations: integrationStore(database, authenticity),
    connectors: connectorStore(database, authenticity),
    endUsers: endUserStore(database, authenticity),
    connections: connectionStore(database, authenticity, now, health.connection, kindsOf),
    credentials,
    apiKeys: apiKeyStore(database, authenticity),
    audit,
    events: eventStore(database, authenticity, (extent) => audit(extent, { keys: keysOf(extent) })),
    webhooks: webhookStore(database, authenticity),
    webhookDeliveries: webhookDeliveryStore(database, authenticity),
    webhookQueue: webhookQueueStore(database),
    secrets: secretStore(database, onUnreadable),
    slots: slotStore(database),
    ssoLinks: ssoLinkStore(database, now),
    authorizations: authorizations.of,
    leases: leaseStore(database),
    idempotency: idempotencyStore(database, storageLimits),
    endUserTokens: endUserTokenStore,
    revocations: revocations.of,
    keys: keysOf,
    transaction: () => database.transaction,
  };
  return { keyring, organizations, revocations, authorizations, members, outbox, platform };
}

const unsettledHealth = {
  credential: () => ({ stateChangesAt: UNSETTLED, isUnspread: true }),
  connection: () => ({ stateChangesAt: UNSETTLED }),
};
