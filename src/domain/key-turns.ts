import { NoTimeLeftError } from '../errors.ts';
import type { MutationContext } from './mutate.ts';

interface Organization {
  readonly revoking: Set<Promise<unknown>>;
  /** The end of the last one that gives somebody a key. */
  last: Promise<unknown>;
  /** How many run or wait. */
  count: number;
}

/**
 * Lets what revokes API keys go before what creates and rotates them. Their transactions write the same documents, so that no key is left over, and one
 * of two that run at once is repeated. Without an order, whoever creates keys in many requests at once could hold off the revocation of its own key for
 * as long as it goes on. Here one key of an organization is created at a time, and none while keys are revoked. It holds for one process: of several, each can
 * let one run beside a revocation.
 */
export function createKeyTurns() {
  const organizations = new Map<string, Organization>();

  async function within<T>(organizationId: string, run: (organization: Organization) => Promise<T>): Promise<T> {
    const organization = organizations.get(organizationId) ?? { revoking: new Set(), last: Promise.resolve(), count: 0 };
    organizations.set(organizationId, organization);
    organization.count++;
    try {
      return await run(organization);
    } finally {
      organization.count--;
      if (organization.count === 0) organizations.delete(organizationId);
    }
  }

  return {
    /** Runs a function that gives the viewer an API key, when it is its turn. @throws NoTimeLeftError when it comes too late */
    giveKey<T>({ viewer: { organizationId }, isOver }: MutationContext, give: () => Promise<T>): Promise<T> {
      return within(organizationId, async (organization) => {
        const turn = organization.last.then(async () => {
          while (organization.revoking.size > 0) await Promise.allSettled(organization.revoking);
          if (isOver?.()) throw new NoTimeLeftError('for this mutation, which was not carried out. Send it again.');
          return give();
        });
        organization.last = turn.catch(() => {});
        return turn;
      });
    },

    /** Runs a function that revokes API keys, at once. */
    revokeKeys<T>({ viewer: { organizationId } }: MutationContext, revoke: () => Promise<T>): Promise<T> {
      return within(organizationId, async ({ revoking }) => {
        const running = revoke();
        revoking.add(running);
        try {
          return await running;
        } finally {
          revoking.delete(running);
        }
      });
    },
  };
}
