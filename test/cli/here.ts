import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { vi } from 'vitest';
import { sentenceOf } from '../../src/cli/messages.ts';
import { program } from '../../src/cli/program.ts';

/** Runs something in this process with these settings in the environment, and no others. */
export async function withSettings<T>(settings: Record<string, string>, run: () => Promise<T>): Promise<T> {
  const environment = process.env;
  process.env = { ...settings };
  try {
    return await run();
  } finally {
    process.env = environment;
  }
}

/** The settings of a database that another program serves, so that a command needs no thread of its own. */
export function databaseAt(uri: string, masterKeyFile?: string): Record<string, string> {
  const masterKey: Record<string, string> = masterKeyFile
    ? { MASTER_KEY_FILE: masterKeyFile }
    : { MASTER_KEY: randomBytes(32).toString('base64') };
  return { MONGODB_URI: uri, ...masterKey, TOKEN_SECRET: randomBytes(32).toString('hex'), PORT: '0', LOG_LEVEL: 'silent' };
}

/** The settings of the database of a server that is running, from what it has printed. */
export function databaseOf({ output }: { readonly output: { readonly stdout: string } }, directory: string): Record<string, string> {
  return databaseAt(/^Database: .*(mongodb:\S+)\.$/m.exec(output.stdout)![1]!, join(directory, 'master.key'));
}

/** Runs a command in this process, which saves its start. Returns what it prints, its failure as a sentence, and its exit code. */
export async function runHere(args: readonly string[], settings: Record<string, string>) {
  let stdout = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    stdout += chunk;
    return true;
  });
  const { exitCode } = process;
  process.exitCode = undefined;
  try {
    await withSettings(settings, () => program.parseAsync(args, { from: 'user' }));
    return { code: Number(process.exitCode ?? 0), stdout, stderr: '' };
  } catch (error) {
    const sentence = sentenceOf(error);
    if (sentence === undefined) throw error;
    return { code: 1, stdout, stderr: `${sentence}\n` };
  } finally {
    process.exitCode = exitCode;
    write.mockRestore();
  }
}
