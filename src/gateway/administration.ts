import { setTimeout } from 'node:timers/promises';
import { grantableScopes } from '../access/scopes.ts';
import { migrateAuditLog, verifyAuditLog } from '../domain/audit.ts';
import { contextOf } from '../domain/context.ts';
import { checkIntegrity } from '../domain/integrity.ts';
import { rewrapKeys, rotateKeys } from '../domain/keys.ts';
import { migrateDatabase } from '../domain/migration.ts';
import { deleteOrganization } from '../domain/organization.ts';
import { platformEntries, recordPlatformEvent } from '../domain/platform.ts';
import { REVOCATION_SPREAD_MS } from '../domain/revocation-list.ts';
import { exportLines } from '../domain/transfer-export.ts';
import { importLines } from '../domain/transfer-import.ts';
import { openTransferred, requireTransferKey, sealForTransfer } from '../secrets/transfer.ts';
import type { Domain } from './domain.ts';
import type { Gateway } from './gateway.ts';
import { systemUser } from './operator.ts';
import type { Resolved } from './options.ts';

/** What commands of the operator do, and no request. */
export interface Administration
  extends Pick<Gateway, 'deleteOrganization' | 'keys' | 'migrate' | 'checkIntegrity' | 'transfer' | 'platform'> {
  readonly audit: Pick<Gateway['audit'], 'verify' | 'organizations' | 'migrate'>;
}

/** Creates what commands of the operator do. The log of the platform says who the operator is. */
export function createAdministration({ context }: Domain, { options }: Resolved): Administration {
  const { stores } = context;
  const operator = options.operator ?? systemUser();
  return {
    async deleteOrganization(organizationId) {
      const isDeleted = await deleteOrganization(context, organizationId, operator);
      // Other copies may still accept its tokens. Whoever is told that it is deleted must be able to rely on that.
      if (isDeleted && options.readsRevocations !== false) await setTimeout(REVOCATION_SPREAD_MS);
      return isDeleted;
    },
    keys: { rotate: (rotation = {}) => rotateKeys(context, rotation), rewrap: (run = {}) => rewrapKeys(context, run) },
    migrate: (run = {}) => migrateDatabase(context, run),
    checkIntegrity: (organizationId) => checkIntegrity(context, organizationId),
    audit: {
      verify: (organizationId, knownHead) => verifyAuditLog(context, organizationId, knownHead),
      organizations: stores.liveOrganizations,
      migrate: () => migrateAuditLog(context),
    },
    transfer: transferOf(context, operator),
    platform: {
      id: stores.platform.organizationId,
      exists: stores.platform.exists,
      record: (action, about = {}) => recordPlatformEvent(context, { action, subject: operator, ...about }),
      entries: () => platformEntries(context),
    },
  };
}

function transferOf(context: Domain['context'], operator: string): Gateway['transfer'] {
  const transferContext = (organizationId: string, what: 'exporting' | 'importing') =>
    contextOf(context, { organizationId, kind: 'token', subject: `${operator} (${what})`, scopes: new Set(grantableScopes) });
  return {
    async *exportLines(organizationId, { secrets, onProblem }) {
      if (secrets) requireTransferKey(secrets.recipient, 'public', ['secrets', 'recipient']);
      yield* exportLines(transferContext(organizationId, 'exporting'), {
        onProblem,
        ...(secrets && {
          secrets: { reason: secrets.reason, seal: (place, plain) => sealForTransfer(secrets.recipient, place, plain) },
        }),
      });
    },
    async importLines(organizationId, lines, { key, ...rest }) {
      if (key) requireTransferKey(key, 'private', ['key']);
      return importLines(transferContext(organizationId, 'importing'), lines, {
        ...rest,
        ...(key && { open: (place, sealed) => openTransferred(key, place, sealed) }),
      });
    },
  };
}
