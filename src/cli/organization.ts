import { createInterface } from 'node:readline/promises';
import { organizationPattern } from '../access/viewer.ts';
import { ConfigError } from '../config/index.ts';

/** @throws ConfigError when no organization can have this name */
export function requireOrganizationName(name: string): void {
  if (organizationPattern.test(name)) return;
  throw new ConfigError(
    'The name of an organization must be 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit.',
  );
}

/** Where a user is asked. The question goes to stderr, because stdout can lead to a file. */
interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/**
 * Asks the user to type the name of an organization again, before it is deleted. With `isConfirmed`, does not ask.
 * @throws ConfigError when the name is not typed, or there is no terminal to ask in
 */
export async function confirmDeletion(
  name: string,
  isConfirmed: boolean,
  { input, output }: Terminal = { input: process.stdin, output: process.stderr },
): Promise<void> {
  if (isConfirmed) return;
  if (!input.isTTY || !output.isTTY) {
    throw new ConfigError('Nothing was deleted: without a terminal to confirm it in, the command needs --yes.');
  }
  const terminal = createInterface({ input, output });
  try {
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
    // readline takes Ctrl-C for itself.
    terminal.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    const question = `This permanently deletes ${name} with its keys and all its data. Type the name of the organization to continue: `;
    const typed = await Promise.race([terminal.question(question), closed]);
    if (typed.trim() !== name) throw new ConfigError('Nothing was deleted: this is not the name of the organization.');
  } finally {
    terminal.close();
  }
}
