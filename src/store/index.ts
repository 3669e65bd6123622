import type { Confinement } from '../access/viewer.ts';
import type { KeyProvider } from '../secrets/key-provider.ts';
import { apiKeyStore } from './api-key.ts';
import { auditStore } from './audit.ts';
import { confinedMembers, type Limited } from './confinement.ts';
import { connectionStore } from './connection.ts';
import { connectorStore } from './connector.ts';
import { credentialStore } from './credential.ts';
import type { Database } from './database.ts';
import { endUserStore } from './end-user.ts';
import { endUserTokenStore } from './end-user-token.ts';
import type { Extent } from './extent.ts';
import { integrationStore } from './integration.ts';
import { createKeyring } from './keyring.ts';
import { lazily } from './lazily.ts';
import { organizationStore } from './organization.ts';
import { rateLimitStore } from './rate-limit.ts';
import { secretStore } from './secret.ts';
import { slotStore } from './slots.ts';
import { ssoLinkStore } from './sso-link.ts';

/** What is kept of all organizations. */
export type Store = ReturnType<typeof createStore>;

/** How the members of an organization's store are built. */
export type Members = ReturnType<typeof createMembers>['members'];

/** What is kept of one organization, by noun. In it no other organization can be named. */
export type OrganizationStore = { readonly [M in keyof Members]: ReturnType<Members[M]> };

/** Builds the store on an open database. Call `prepare` once before the first use. */
export function createStore(database: Database, keyProvider: KeyProvider, now: () => Date) {
  const { keyring, organizations, members } = createMembers(database, keyProvider, now);
  const whole = lazily<Extent, OrganizationStore>(members);
  const confined = lazily<Limited, OrganizationStore>(confinedMembers);
  return {
    /** The store of one organization, or the part of it that there is for a viewer who is limited. Costs next to nothing. */
    of(organizationId: string, confinement?: Confinement): OrganizationStore {
      const all = whole({ organizationId, confines: {} });
      return confinement ? confined({ organizationId, confinement, members, whole: all }) : all;
    },
    /** The organizations that are not deleted. */
    liveOrganizations: organizations.live,
    keyring,
    rateLimits: rateLimitStore(database),
    transaction: database.transaction,

    /** Makes the collections and indexes that are missing. Collections come first: in a transaction they could not be made. */
    async prepare(): Promise<void> {
      for (const model of Object.values(database.connection.models)) {
        await model.createCollection();
        await model.createIndexes();
      }
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

function createMembers(database: Database, keyProvider: KeyProvider, now: () => Date) {
  const { keysOf, ...keyring } = createKeyring(database, keyProvider);
  const organizations = organizationStore(database);
  const members = {
    /** The organization's own record. */
    organization: organizations.of,
    integrations: integrationStore(database),
    connectors: connectorStore(database),
    endUsers: endUserStore(database),
    connections: connectionStore(database),
    credentials: credentialStore(database, now),
    apiKeys: apiKeyStore(database),
    audit: auditStore(database),
    secrets: secretStore(database),
    slots: slotStore(database),
    ssoLinks: ssoLinkStore(database, now),
    endUserTokens: endUserTokenStore,
    keys: keysOf,
    transaction: () => database.transaction,
  };
  return { keyring, organizations, members };
}
