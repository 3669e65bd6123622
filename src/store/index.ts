import type { KeyProvider } from '../secrets/key-provider.ts';
import { apiKeyStore } from './api-key.ts';
import { auditStore } from './audit.ts';
import { connectionStore } from './connection.ts';
import { connectorStore } from './connector.ts';
import { credentialStore } from './credential.ts';
import type { Database } from './database.ts';
import { endUserStore } from './end-user.ts';
import { endUserTokenStore } from './end-user-token.ts';
import { integrationStore } from './integration.ts';
import { createKeyring } from './keyring.ts';
import { organizationStore } from './organization.ts';
import { rateLimitStore } from './rate-limit.ts';
import { secretStore } from './secret.ts';
import { slotStore } from './slots.ts';
import { ssoLinkStore } from './sso-link.ts';

/** All that is kept, by noun. Every function's first argument is the organization. */
export type Store = ReturnType<typeof createStore>;

/** Builds the store on an open database. Call `prepare` once before the first use. */
export function createStore(database: Database, keyProvider: KeyProvider, now: () => Date) {
  const keyring = createKeyring(database, keyProvider);
  return {
    organizations: organizationStore(database, keyring),
    integrations: integrationStore(database),
    connectors: connectorStore(database),
    endUsers: endUserStore(database),
    connections: connectionStore(database),
    credentials: credentialStore(database, now),
    secrets: secretStore(database, keyring),
    slots: slotStore(database),
    rateLimits: rateLimitStore(database),
    ssoLinks: ssoLinkStore(database, now),
    audit: auditStore(database, keyring),
    apiKeys: apiKeyStore(database),
    endUserTokens: endUserTokenStore(keyring),
    keyring,
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
