import type { ErrorCode } from '../errors.ts';
import type { GatewayContext } from './context.ts';
import { recordPlatformEvent } from './platform.ts';

/** The maximum number of addresses that are counted one by one at any moment. */
const ADDRESSES_MAX = 1_000;
/** The number of addresses that get an entry each minute: those with the most failures. Others are counted together. */
const NAMED_MAX = 20;
/** The address of an entry that counts several addresses together. */
const MANY = '(many)';
/** The address of requests that came from code, and not through a socket. */
const NO_ADDRESS = '(none)';

const ITSELF = '(credential-gateway)';

export type FailedLogins = ReturnType<typeof createFailedLogins>;

/**
 * Counts requests without a valid token, for the log of the platform: they belong to no organization, as nothing that such a token says can
 * be trusted. There is one entry per address, outcome and minute for the addresses with the most failures, and one for all others. So neither
 * the memory nor the database grows with the number of addresses.
 */
export function createFailedLogins() {
  /** By outcome and address. */
  const counts = new Map<string, number>();

  const add = (outcome: string, address: string, count: number) => {
    const key = JSON.stringify([outcome, address]);
    counts.set(key, (counts.get(key) ?? 0) + count);
  };

  /** Counts all but the `kept` most frequent addresses together. */
  function sumUp(kept: number): void {
    const named = [...counts].map(([key, count]) => ({ key, count, told: JSON.parse(key) as [string, string] }));
    const rest = named.filter(({ told: [, address] }) => address !== MANY).sort((a, b) => b.count - a.count);
    for (const { key, count, told } of rest.slice(kept)) {
      counts.delete(key);
      add(told[0], MANY, count);
    }
  }

  return {
    /** Counts a refused request. `address` is the client's address, or the group of addresses that it belongs to. */
    add(address: string | undefined, outcome: ErrorCode): void {
      add(outcome, address ?? NO_ADDRESS, 1);
      // Half of them, so that it is seldom done. Who fails most stays, however many others come.
      if (counts.size > ADDRESSES_MAX) sumUp(ADDRESSES_MAX / 2);
    },
    /**
     * Writes the counts since the last flush, and returns their sum. What cannot be written is kept for the next flush.
     * @throws PlatformLogMissingError
     */
    async flush(gateway: Pick<GatewayContext, 'stores' | 'now'>): Promise<number> {
      sumUp(NAMED_MAX);
      let sum = 0;
      for (const [key, count] of [...counts]) {
        const [outcome, address] = JSON.parse(key) as [string, string];
        counts.delete(key);
        try {
          await recordPlatformEvent(gateway, { action: 'refuseToken', subject: ITSELF, address, outcome, count });
        } catch (error) {
          add(outcome, address, count);
          throw error;
        }
        sum += count;
      }
      return sum;
    },
  };
}
