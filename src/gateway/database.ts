import { randomBytes } from 'node:crypto';
import { UnavailableError } from '../errors.ts';
import { localKeyProvider } from '../secrets/key-provider.ts';
import { openDatabase, translate } from '../store/database.ts';
import { createStore } from '../store/index.ts';

/** Returns whether an error says that the database cannot be reached or does not respond. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return translate(error) instanceof UnavailableError;
}

/** Returns whether a database already contains data keys. If it does, a missing master key must not be replaced by a new one. */
export async function hasDataKeys(options: { readonly uri: string; readonly name: string }): Promise<boolean> {
  const database = await openDatabase(options);
  try {
    // Nothing is unwrapped here, so any master key will do.
    return !(await createStore(database, localKeyProvider([randomBytes(32)]), () => new Date()).keyring.isEmpty());
  } finally {
    await database.connection.close();
  }
}
