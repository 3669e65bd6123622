import { beingPrepared } from '../errors.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { OrganizationStore } from '../store/index.ts';
import type { GatewayContext } from './context.ts';
import { type Finding, writeFinding, writeReadable } from './findings.ts';
import { type ConnectionHealth, connectionHealth, credentialHealth, NEVER, runsOutAt, stored } from './health.ts';
import { inTurnByOrganization } from './in-turn.ts';
import { shown } from './reading.ts';

/** How many records one transaction settles. */
const BATCH = 200;
/** How many batches a query settles. More than these are a matter of the job. */
const BATCHES_OF_QUERY = 5;
/** How many batches a run of the job settles of one organization, so that it does not delay the others for long. */
const BATCHES_OF_JOB = 250;
/** How many credentials are spread in one transaction. Each can have many connections. */
const SPREAD_BATCH = 10;

/** What is known about the health of an organization's records. It is not confined: it returns nothing but health, of records that the viewer has read. */
export interface OrganizationHealth {
  /**
   * Makes sure that the stored states of credentials, or of connections, are right, before somebody searches or sorts by them.
   * @throws UnavailableError when too many are not: the job does the rest within minutes
   */
  settle(noun: 'credential' | 'connection'): Promise<void>;
  /** Writes at once what was learned by asking. `at` is when the question was asked: what has changed since then was not asked about. */
  write(finding: Finding, at: Date): Promise<void>;
  /** Writes at once that all secrets of a credential can be opened. */
  writeReadable(credentialId: string, at: Date): Promise<void>;
  /** Returns the health of connections, with the problems of all of their credentials, also of those that the viewer cannot see. */
  ofConnections(connections: readonly ConnectionRecord[]): Promise<ConnectionHealth[]>;
}

type Parts = Pick<GatewayContext, 'stores' | 'kinds' | 'now'>;

export function organizationHealth(gateway: Parts, organizationId: string): OrganizationHealth {
  const store = () => gateway.stores.of(organizationId);
  return {
    async settle(noun) {
      const steps = noun === 'credential' ? [settleCredentials] : [spreadStates, settleConnections];
      for (const step of steps)
        if (!(await repeated(() => step(gateway, store()), BATCHES_OF_QUERY)))
          throw beingPrepared('The states of many objects have changed, and are being determined.', 60);
    },
    write: (finding, at) => writeFinding(store(), finding, at),
    writeReadable: (id, at) => writeReadable(store(), id, at),
    ofConnections: (connections) => healthOfConnections(gateway, store(), connections),
  };
}

/**
 * Makes the stored states of all organizations right. A query does the same for what it searches, so it does not matter when this runs, or
 * whether several copies of the gateway run it at once.
 *
 * @throws AggregateError of an OrganizationError for each organization that failed, at the end
 */
export async function settleStates(gateway: GatewayContext): Promise<void> {
  const organizations = await gateway.stores.liveOrganizations();
  await inTurnByOrganization(
    organizations.map((organizationId) => ({ organizationId })),
    async ({ organizationId }) => {
      const store = gateway.stores.of(organizationId);
      for (const step of [settleCredentials, spreadStates, settleConnections]) await repeated(() => step(gateway, store), BATCHES_OF_JOB);
    },
  );
}

/** Repeats a step until there is nothing left. Returns whether that is so after this many times. */
async function repeated(step: () => Promise<boolean>, times: number): Promise<boolean> {
  for (let time = 0; time < times; time++) if (await step()) return true;
  return false;
}

/** Determines the states of credentials whose time has come, or that an earlier version wrote. Returns whether that were all. */
async function settleCredentials({ now }: Parts, { credentials, transaction }: OrganizationStore): Promise<boolean> {
  const first = await credentials.unsettled(BATCH);
  if (first.intact.length + first.altered.length === 0) return true;
  return transaction(async () => {
    const { intact, altered } = await credentials.unsettled(BATCH);
    await credentials.annotateAll([
      ...intact.map((record) => ({
        id: record.id,
        before: record,
        fields: { ...stored(credentialHealth(record, now())), runsOutAt: runsOutAt(record) },
      })),
      ...altered.map((id) => ({ id, before: null, fields: ALTERED })),
    ]);
    return intact.length + altered.length < BATCH;
  });
}

/** What is stored about a record that is not as the gateway wrote it, so that it does not keep others from being settled. */
const ALTERED = { state: 'NEEDS_ATTENTION', stateChangesAt: NEVER } as const;

/** Tells connections that the state of a credential has changed. Returns whether that were all. */
async function spreadStates(_gateway: Parts, { credentials, connections, transaction }: OrganizationStore): Promise<boolean> {
  const first = await credentials.unspread(SPREAD_BATCH);
  if (first.intact.length + first.altered.length === 0) return true;
  return transaction(async () => {
    const { intact, altered } = await credentials.unspread(SPREAD_BATCH);
    const ids = [...intact.map(({ id }) => id), ...altered];
    for (const id of ids) await connections.unsettle(id);
    // It conflicts with a change of the credential that is committed meanwhile.
    await credentials.annotateAll(ids.map((id) => ({ id, before: null, fields: { isUnspread: false } })));
    return ids.length < SPREAD_BATCH;
  });
}

/**
 * Determines the states of connections whose time has come, whose credentials have changed, or that an earlier version wrote. Returns whether that were
 * all. If a credential changes at the same time, its connections are told after that, and this transaction is repeated or its result replaced.
 */
async function settleConnections(gateway: Parts, store: OrganizationStore): Promise<boolean> {
  const { connections, transaction } = store;
  const first = await connections.unsettled(BATCH);
  if (first.intact.length + first.altered.length === 0) return true;
  return transaction(async () => {
    const { intact, altered } = await connections.unsettled(BATCH);
    const healths = await healthOfConnections(gateway, store, intact);
    await connections.annotateAll([
      ...intact.map((before, index) => ({ id: before.id, before, fields: stored(healths[index]!) })),
      ...altered.map((id) => ({ id, before: null, fields: ALTERED })),
    ]);
    return intact.length + altered.length < BATCH;
  });
}

async function healthOfConnections(
  { kinds, now }: Parts,
  { credentials }: OrganizationStore,
  connections: readonly ConnectionRecord[],
): Promise<ConnectionHealth[]> {
  const ids = [...new Set(connections.flatMap(({ isAltered, credentialIds }) => (isAltered ? [] : credentialIds)))];
  const found = ids.length === 0 ? [] : shown({ kinds }, 'credential', await credentials.evenAltered.byIds(ids));
  const byId = new Map<string, CredentialRecord>(found.map((record) => [record.id, record]));
  return connections.map((connection) =>
    connection.isAltered
      ? { state: 'NEEDS_ATTENTION', problems: [], checkedAt: null, changesAt: NEVER }
      : connectionHealth(connection, (id) => byId.get(id), now()),
  );
}
