import { NotFoundError } from '../errors.ts';
import type { OpeningKey, Rewrapped } from '../store/keyring.ts';
import type { Resealed, UnreadableSecret } from '../store/secret.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { inTurn } from './in-turn.ts';
import { recordDone } from './mutate.ts';
import { asItself } from './organization.ts';

/** The number of secrets that one transaction moves. A concurrent change to one of them waits or is repeated: some hundredths of a second. */
const SECRETS_PER_BATCH = 100;
const KEYS_PER_BATCH = 100;
/** The number of unreadable secrets that are listed. Others are only counted. */
const NAMED_MAX = 100;

export interface KeyProgress {
  readonly done: number;
  readonly total: number;
}

export interface KeyRunOptions {
  /** Stops the run after the current batch. A later run continues from there. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: KeyProgress) => void;
}

export interface RotationOptions extends KeyRunOptions {
  /** By default, all organizations that are not deleted. */
  readonly organizationId?: string;
  /** If false, only completes earlier rotations. */
  readonly newKeys?: boolean;
}

export interface RotationReport {
  /** The number of organizations that got a new key. */
  readonly newKeys: number;
  /** The number of organizations that got no new key because an earlier rotation was not complete. */
  readonly continued: number;
  readonly resealed: number;
  readonly destroyed: number;
  /** The number of old keys that are not destroyed yet because they were retired too recently. */
  readonly resting: number;
  /** The time from which the last of these can be destroyed. */
  readonly restingUntil: Date | null;
  readonly unreadableCount: number;
  /** The first unreadable secrets. */
  readonly unreadable: readonly UnreadableSecret[];
  /** Whether the signal stopped the run. */
  readonly stopped: boolean;
}

/**
 * Creates a new data key for each organization, moves its secrets to it, and destroys old keys under which nothing is sealed. If an earlier
 * rotation was interrupted, completes that one instead. Several can run at once, while the gateway is running, and can be stopped at any time.
 *
 * @throws NotFoundError when there is no such organization
 */
export async function rotateKeys(gateway: GatewayContext, options: RotationOptions): Promise<RotationReport> {
  const { stores, now } = gateway;
  const { organizationId, newKeys = true, signal, onProgress } = options;
  if (organizationId !== undefined && (await stores.of(organizationId).organization.state()) !== 'live') {
    throw new NotFoundError('organization', ['organizationId']);
  }
  const organizations = organizationId === undefined ? await stores.liveOrganizations() : [organizationId];
  const report = {
    newKeys: 0,
    continued: 0,
    resealed: 0,
    destroyed: 0,
    resting: 0,
    restingUntil: null as Date | null,
    unreadableCount: 0,
    unreadable: [] as UnreadableSecret[],
    stopped: false,
  };
  let total = 0;

  /** Moves the secrets under an organization's old keys, and destroys unused keys. Returns whether it found an incomplete rotation. */
  async function end(organization: string): Promise<boolean> {
    const store = stores.of(organization);
    const keys = await store.keys.openingKeys();
    if (keys.length === 0) return false;
    const ids = keys.map(({ keyId }) => keyId);
    total += await store.secrets.countUnder(ids);
    onProgress?.({ done: report.resealed, total });
    let moved = 0;
    let resting = 0;
    for (const key of keys) {
      moved += await move(organization, key);
      if (signal?.aborted) return true;
      if (key.destroyableAt > now()) {
        resting++;
        if (!report.restingUntil || report.restingUntil < key.destroyableAt) report.restingUntil = key.destroyableAt;
      } else if (await destroyUnused(gateway, organization, key.keyId)) report.destroyed++;
    }
    report.resting += resting;
    return moved > 0 || resting > 0;
  }

  async function move(organization: string, { keyId }: OpeningKey): Promise<number> {
    let moved = 0;
    for (let after: string | null = ''; after !== null && !signal?.aborted; ) {
      const batch: Resealed = await stores.of(organization).secrets.reseal(keyId, after, SECRETS_PER_BATCH);
      after = batch.last;
      moved += batch.resealed;
      report.resealed += batch.resealed;
      report.unreadableCount += batch.unreadable.length;
      report.unreadable.push(...batch.unreadable.slice(0, NAMED_MAX - report.unreadable.length));
      onProgress?.({ done: report.resealed, total: Math.max(total, report.resealed) });
    }
    return moved;
  }

  for (const organization of organizations) {
    if (signal?.aborted) break;
    const seen = { count: report.unreadableCount, named: report.unreadable.length };
    // Read before anything else: if another run replaces the key from now on, this run does not replace the new key again.
    const currentKeyId = await stores.of(organization).keys.currentKeyId();
    const isContinued = await end(organization);
    if (signal?.aborted) break;
    if (isContinued) report.continued++;
    else if (newKeys && currentKeyId) {
      if (await replaceKey(gateway, organization, currentKeyId)) report.newKeys++;
      else report.continued++;
      // The second pass finds the same unreadable secrets again, so those of the first are discarded.
      report.unreadableCount = seen.count;
      report.unreadable.length = seen.named;
      await end(organization);
    }
  }
  report.stopped = signal?.aborted ?? false;
  return report;
}

/**
 * Replaces the keys that have sealed too many values. Secrets under the old keys stay there until a rotation.
 * @throws AggregateError of all failures, after everything else is done
 */
export async function replaceWornKeys(gateway: GatewayContext): Promise<number> {
  let replaced = 0;
  const { keyring } = gateway.stores;
  await inTurn(await keyring.worn(), async ({ organizationId, keyId }) => {
    if (await replaceKey(gateway, organizationId, keyId)) replaced++;
    await keyring.forgetWorn(keyId);
  });
  return replaced;
}

/** Returns false if the current key has been replaced already, or the organization is deleted. */
async function replaceKey(gateway: GatewayContext, organizationId: string, currentKeyId: string): Promise<boolean> {
  const context = asItself(gateway, organizationId);
  const { store, now } = context;
  return store.transaction(async () => {
    if ((await store.organization.state()) !== 'live') return false;
    // If a deletion runs at the same time, either it sees the new key, or this sees the deletion.
    await store.organization.touch();
    const isReplaced = await store.keys.replace(currentKeyId, now());
    if (isReplaced) await recordKeyDone(context, 'replaceDataKey', currentKeyId);
    return isReplaced;
  });
}

async function destroyUnused(gateway: GatewayContext, organizationId: string, keyId: string): Promise<boolean> {
  const context = asItself(gateway, organizationId);
  const { store, now } = context;
  return store.transaction(async () => {
    if (await store.secrets.isAnyUnder(keyId)) return false;
    const isDestroyed = await store.keys.destroy(keyId, now());
    if (isDestroyed) await recordKeyDone(context, 'destroyDataKey', keyId);
    return isDestroyed;
  });
}

/** Writes an audit entry about a data key, in the same transaction as the change. */
function recordKeyDone(context: DomainContext, name: string, keyId: string): Promise<void> {
  const action = { name, noun: null, address: null, requestId: null };
  return recordDone({ ...context, action }, null, keyId);
}

export interface RewrapReport {
  readonly rewrapped: number;
  /** The number of data keys that were already wrapped under the first master key. */
  readonly kept: number;
  /** The number of data keys that no given master key can open. */
  readonly failed: number;
  readonly stopped: boolean;
}

/** Wraps the data keys of all organizations again, under the first master key. If none failed, the other master keys are not needed any more. */
export async function rewrapKeys(
  { stores: { keyring } }: Pick<GatewayContext, 'stores'>,
  { signal, onProgress }: KeyRunOptions,
): Promise<RewrapReport> {
  const total = await keyring.count();
  const report = { rewrapped: 0, kept: 0, failed: 0 };
  for (let after: string | null = ''; after !== null && !signal?.aborted; ) {
    const batch: Rewrapped = await keyring.rewrap(after, KEYS_PER_BATCH);
    after = batch.last;
    report.rewrapped += batch.rewrapped;
    report.kept += batch.kept;
    report.failed += batch.failed;
    onProgress?.({ done: report.rewrapped + report.kept + report.failed, total });
  }
  return { ...report, stopped: signal?.aborted ?? false };
}
