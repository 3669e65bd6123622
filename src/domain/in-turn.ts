import { UnavailableError } from '../errors.ts';

/**
 * Runs a function for each item, one after another. After a failure it continues with the next item.
 * @throws AggregateError of all failures, at the end
 */
export async function inTurn<T>(items: Iterable<T>, run: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  let count = 0;
  for (const item of items) {
    count++;
    try {
      await run(item);
    } catch (error) {
      failures.push(...failuresOf(error));
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${count} failed.`);
}

/**
 * Runs a function for each item, for several of them at once, so that one that takes long delays few others. After a failure it continues.
 * @throws AggregateError of all failures, at the end
 */
export async function severalAtOnce<T>(items: readonly T[], most: number, run: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const workers = Array.from({ length: Math.min(most, left.length) }, async () => {
    await inTurn(
      (function* () {
        for (let item = left.shift(); item !== undefined; item = left.shift()) yield item;
      })(),
      run,
    );
  });
  const failures = (await Promise.allSettled(workers)).flatMap((result) => (result.status === 'rejected' ? failuresOf(result.reason) : []));
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${items.length} failed.`);
}

/** What was done for all organizations has failed for one of them. It has the name of its cause. */
export class OrganizationError extends Error {
  readonly organizationId: string;
  constructor(organizationId: string, cause: unknown) {
    super('It failed for an organization.', { cause });
    this.organizationId = organizationId;
    if (cause instanceof Error) this.name = cause.name;
  }
}

/**
 * Runs a function for each item, one organization after another. After a failure it continues with the next organization, because one that has
 * an unusable key must not stop the others. But if the database does not respond, it stops: each other organization would wait as long.
 *
 * @throws AggregateError of an OrganizationError for each organization that failed, at the end
 */
export async function inTurnByOrganization<T extends { readonly organizationId: string }>(
  items: readonly T[],
  run: (item: T) => Promise<void>,
): Promise<void> {
  const failures = new Map<string, OrganizationError>();
  for (const item of items) {
    const { organizationId } = item;
    if (failures.has(organizationId)) continue;
    try {
      await run(item);
    } catch (error) {
      failures.set(organizationId, new OrganizationError(organizationId, error));
      if (error instanceof UnavailableError) break;
    }
  }
  if (failures.size > 0) throw new AggregateError([...failures.values()], `It failed for ${failures.size} organizations.`);
}

/**
 * Returns items in an order in which none always comes last, if not all get their turn: first those of organizations of which less is under way, and
 * otherwise by chance. `underWay` are the organizations of what runs, each as often as something of it does.
 */
export function inFairOrder<T extends { readonly organizationId: string }>(items: readonly T[], underWay: readonly string[]): T[] {
  const counts = new Map<string, number>();
  const place = (organizationId: string) => {
    const count = counts.get(organizationId) ?? 0;
    counts.set(organizationId, count + 1);
    return count;
  };
  for (const organizationId of underWay) place(organizationId);
  return items
    .map((item) => ({ item, chance: Math.random() }))
    .sort((a, b) => a.chance - b.chance)
    .map(({ item }) => ({ item, place: place(item.organizationId) }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** The failures that an error stands for. */
export function failuresOf(error: unknown): readonly unknown[] {
  return error instanceof AggregateError ? error.errors : [error];
}
