import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import type { Keys } from './keyring.ts';

/** The organization id of the platform's log. No organization name begins with this character, so no token can name it. */
export const PLATFORM = '(platform)';

interface PlatformStore {
  readonly keys: Pick<Keys, 'complete'>;
  readonly audit: { hasBegun(): Promise<boolean>; begin(): Promise<void> };
}

/** The log of what happens to the platform itself. It has a key of its own, and no organization, so it outlives all of them. */
export function platformLog(database: Database, of: (extent: Extent) => PlatformStore) {
  const { keys, audit } = of({ organizationId: PLATFORM, confines: {} });
  return {
    organizationId: PLATFORM,
    ...translatingErrors({
      exists: audit.hasBegun,
      /** Begins the log if there is none. Call it for a new database, or when the operator asks for it: otherwise it would hide a removal. */
      async begin(now: Date): Promise<void> {
        if (await audit.hasBegun()) return;
        try {
          await database.transaction(async () => {
            await keys.complete(now, ['audit']);
            await audit.begin();
          });
        } catch (error) {
          // Another copy has begun it at the same time.
          if (!(translate(error) instanceof DuplicateKeyError)) throw error;
        }
      },
    }),
  };
}
