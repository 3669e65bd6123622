import type { AuditRecord } from '../store/audit.ts';
import { newId } from '../store/records.ts';
import type { GatewayContext } from './context.ts';

/** What happens to the platform itself, and is written to its log. */
export type PlatformAction =
  | 'startServer'
  | 'stopServer'
  | 'createDevelopmentToken'
  | 'deleteOrganization'
  | 'rotateKeys'
  | 'rewrapKeys'
  | 'backup'
  | 'restore'
  | 'migrate'
  | 'exportOrganization'
  | 'importOrganization'
  | 'refuseToken';

/** Something that happened to the platform. */
export interface PlatformEvent {
  readonly action: PlatformAction;
  /** Who did it: the operating system's user and host, or the gateway itself. */
  readonly subject: string;
  /** The organization that it happened to, if it is one. */
  readonly organization?: string;
  readonly address?: string;
  /** `SUCCESS` by default. */
  readonly outcome?: string;
  /** What else there is to say. Never contains a secret. */
  readonly details?: string;
  /** 1 by default. */
  readonly count?: number;
}

/** The database has no log of the platform: an older version made it, or somebody removed the log. */
export class PlatformLogMissingError extends Error {
  override name = 'PlatformLogMissingError';
  constructor() {
    super('The log of the platform does not exist. If an older version made this database, run `credential-gateway migrate` once.');
  }
}

/**
 * Writes an entry to the log of the platform. In a transaction, it is part of that transaction.
 * @throws PlatformLogMissingError
 */
export async function recordPlatformEvent({ stores, now }: Pick<GatewayContext, 'stores' | 'now'>, event: PlatformEvent): Promise<void> {
  const { organizationId, exists } = stores.platform;
  if (!(await exists())) throw new PlatformLogMissingError();
  const { action, subject, organization = null, address = null, outcome = 'SUCCESS', details = null, count = 1 } = event;
  const createdAt = now();
  const record: AuditRecord = {
    id: newId(),
    organizationId,
    version: 1,
    createdAt,
    updatedAt: createdAt,
    viewerKind: null,
    subject,
    address,
    requestId: null,
    action,
    outcome,
    objectNoun: organization === null ? null : 'organization',
    objectId: organization,
    reason: details,
    count,
    sequence: null,
  };
  await stores.of(organizationId).audit.insert(record);
}

/** An entry of the platform's log. */
export interface PlatformEntry extends Required<Omit<PlatformEvent, 'organization' | 'address' | 'details' | 'action'>> {
  readonly id: string;
  readonly createdAt: Date;
  readonly action: string;
  readonly organization: string | null;
  readonly address: string | null;
  readonly details: string | null;
  readonly isSealed: boolean;
}

const ENTRIES_PER_PAGE = 500;

/** Reads the log of the platform, oldest entry first. */
export async function* platformEntries({ stores }: Pick<GatewayContext, 'stores'>): AsyncGenerator<PlatformEntry> {
  const { audit } = stores.of(stores.platform.organizationId);
  const request = { limit: ENTRIES_PER_PAGE, sortField: 'createdAt', descending: false };
  for (let after: { value: Date; id: string } | undefined; ; ) {
    const { records, hasMore } = await audit.page({}, { ...request, ...(after && { after }) });
    for (const { id, createdAt, action, subject, objectId, address, outcome, reason, count, sequence } of records) {
      yield {
        id,
        createdAt,
        action,
        subject,
        organization: objectId,
        address,
        outcome,
        details: reason,
        count,
        isSealed: sequence !== null,
      };
    }
    const last = records.at(-1);
    if (!hasMore || !last) return;
    after = { value: last.createdAt, id: last.id };
  }
}
