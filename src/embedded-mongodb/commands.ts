import { catalogCommands } from './catalog-commands.ts';
import type { Command } from './command.ts';
import { connectionCommands } from './connection-commands.ts';
import { readCommands } from './read-commands.ts';
import { writeCommands } from './write-commands.ts';

/** Every command this server knows, apart from the two that end a transaction (`dispatch.ts`). */
export const commands: ReadonlyMap<string, Command> = new Map([
  ...connectionCommands,
  ...readCommands,
  ...writeCommands,
  ...catalogCommands,
]);
