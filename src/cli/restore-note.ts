import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { dataPaths } from '../config/index.ts';
import { type Gateway, systemUser } from '../gateway/index.ts';

const restoreNote = z.object({ at: z.iso.datetime(), by: z.string() });

/** Notes that a backup was restored. Its log of the platform cannot be written yet, as the master key may not be there. */
export function noteRestore(dataDirectory: string): void {
  writeFileSync(dataPaths(dataDirectory).restoreNote, JSON.stringify({ at: new Date(), by: systemUser() }), { mode: 0o600 });
}

/** Writes a restored backup that was noted to the log of the platform. */
export async function recordRestore(dataDirectory: string, gateway: Gateway): Promise<void> {
  const file = dataPaths(dataDirectory).restoreNote;
  if (!existsSync(file) || !(await gateway.platform.exists())) return;
  const note = restoreNote.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  await gateway.platform.record('restore', {
    details: note.success ? `at ${note.data.at} by ${note.data.by}` : 'the note of it is not readable',
  });
  rmSync(file, { force: true });
}
