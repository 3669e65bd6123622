#!/usr/bin/env node
import { Command, InvalidArgumentError } from 'commander';
import { demo } from './cli/demo.ts';
import { developmentSecretOf, openGateway } from './cli/open-gateway.ts';
import { start } from './cli/start.ts';
import { developmentToken } from './cli/token.ts';
import { ConfigError, readConfig } from './config.ts';

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
    const { gateway, close } = await openGateway(readConfig({ ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' }));
    try {
      await demo(gateway, organization, connections);
    } finally {
      await close();
    }
  });

program
  .command('organization')
  .description('manage organizations')
  .command('delete <name>')
  .description('delete an organization, its keys and all it has, for good; its name is not given again')
  .action(async (name: string) => {
    const { gateway, close } = await openGateway(readConfig({ ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' }));
    try {
      if (!(await gateway.deleteOrganization(name))) throw new ConfigError('There is no organization of that name.');
      print('Deleted. Backups keep what they hold until they expire.');
    } finally {
      await close();
    }
  });

try {
  await program.parseAsync();
} catch (error) {
  // What a user can mend is told in a line; a defect with its stack.
  process.stderr.write(error instanceof ConfigError ? `${error.message}\n` : `${(error as Error).stack}\n`);
  process.exitCode = 1;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a positive whole number.');
  return value;
}
