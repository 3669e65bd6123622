import { Command, InvalidArgumentError } from 'commander';
import { ConfigError, readConfig } from '../config.ts';
import type { Gateway } from '../gateway.ts';
import { printAuditHeads, verifyAudit } from './audit.ts';
import { backup, restore } from './backup.ts';
import { printDefect } from './crash.ts';
import { demo } from './demo.ts';
import { rewrap, rotate } from './keys.ts';
import { developmentSecretOf, openGateway } from './open-gateway.ts';
import { start } from './start.ts';
import { developmentToken } from './token.ts';

const print = (line: string) => process.stdout.write(`${line}\n`);

const program = new Command('credential-gateway')
  .description(
    'One GraphQL API over third-party credentials: shown redacted, sealed at rest. Settings come from the environment; the README lists them.',
  )
  .showHelpAfterError()
  .configureOutput({ writeErr: (text) => process.stderr.write(text) });

program
  .command('start')
  .description('serve GraphQL, and GraphiQL for browsers, at /graphql')
  .action(() => start(readConfig(process.env), print));

program
  .command('token')
  .description('print a development token, good for twelve hours; for the embedded database on loopback only')
  .requiredOption('--organization <name>', 'whose data the token opens')
  .requiredOption(
    '--scope <scope...>',
    'what it may do, such as credentials.get; all.Organization for all but revealing, fingerprints and vouching',
  )
  .action(async ({ organization, scope }: { organization: string; scope: string[] }) => {
    const config = readConfig(process.env);
    const secret = developmentSecretOf(config);
    if (!secret)
      throw new ConfigError(
        'There are no development tokens with this configuration: TOKEN_JWKS_URL, TOKEN_SECRET or MONGODB_URI is set, or HOST is not loopback.',
      );
    print(await developmentToken(config, secret, organization, scope));
  });

program
  .command('demo')
  .description('fill an organization with made-up connections and what belongs to them')
  .requiredOption('--organization <name>', 'the organization to fill')
  .option('--connections <number>', 'how many connections to make', positiveInteger, 300)
  .action(async ({ organization, connections }: { organization: string; connections: number }) => {
    await withGateway((gateway) => demo(gateway, organization, connections));
  });

program
  .command('organization')
  .description('manage organizations')
  .command('delete <name>')
  .description('delete an organization, its keys and all it has, for good; its name is not given again')
  .action(async (name: string) => {
    await withGateway(async (gateway) => {
      if (!(await gateway.deleteOrganization(name))) throw new ConfigError('There is no organization of that name.');
      print('Deleted. Backups keep what they hold until they expire.');
    });
  });

const keys = program.command('keys').description('manage the keys that secrets are sealed under; the gateway serves meanwhile');

keys
  .command('rotate')
  .description('make new data keys, move all secrets to them, and destroy the old; may be stopped, and run again to go on')
  .option('--organization <name>', 'of this organization only')
  .option('--finish', 'make no new keys: only end what earlier runs began')
  .option('--wait', 'stay until the old keys are destroyed, some five minutes')
  .action(async (options: { organization?: string; finish?: boolean; wait?: boolean }) => {
    await withGateway(async (gateway) => {
      process.exitCode = await rotate(gateway, options, print);
    });
  });

keys
  .command('rewrap')
  .description('wrap all data keys anew under the first master key; give the old ones after it')
  .action(async () => {
    await withGateway(async (gateway) => {
      process.exitCode = await rewrap(gateway, print);
    });
  });

const audit = program
  .command('audit')
  .description('check the audit log; every mutation leaves an entry, and entries are sealed into a chain');

audit
  .command('verify')
  .description('recompute the chain: a removed, changed or inserted entry shows')
  .option('--organization <name>', 'of this organization only')
  .option('--heads <file>', 'compare with heads that `audit heads` printed earlier and that were kept elsewhere')
  .action(async ({ organization, heads }: { organization?: string; heads?: string }) => {
    await withGateway(async (gateway) => {
      process.exitCode = await verifyAudit(gateway, { organization, heads }, print);
    });
  });

audit
  .command('heads')
  .description('seal what is not sealed yet and print the newest batch of each organization, a line of JSON each, to be kept elsewhere')
  .action(async () => {
    await withGateway((gateway) => printAuditHeads(gateway, print));
  });

program
  .command('backup <file>')
  .description('copy a consistent snapshot of the embedded database; keys are not in it: keep the master key elsewhere')
  .action(async (file: string) => {
    await backup(readConfig(process.env), file);
    print(`Copied to ${file}. The master key is not in it: without it the copy opens no secret.`);
  });

program
  .command('restore <file>')
  .description('put a backup into a DATA_DIR whose embedded database does not exist yet')
  .action(async (file: string) => {
    const { dataDirectory } = await restore(readConfig(process.env), file);
    print(`Restored into ${dataDirectory}. Put the master key that belongs to it beside it before you start.`);
  });

/** Runs the command that the arguments name. */
export async function runProgram(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    // What a user can mend is told in words; of a defect only where it is.
    if (error instanceof ConfigError) process.stderr.write(`${error.message}\n`);
    else printDefect(error);
    process.exitCode = 1;
  }
}

/** Runs a command's work on the configured gateway, beside a server or not. */
async function withGateway(run: (gateway: Gateway) => Promise<void>): Promise<void> {
  const { gateway, close } = await openGateway(readConfig({ ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' }));
  try {
    await run(gateway);
  } finally {
    await close();
  }
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a positive whole number.');
  return value;
}
