import { Command, InvalidArgumentError } from 'commander';
import { grantableScopes, namedScopes } from '../access/scopes.ts';
import { ConfigError, readConfig } from '../config/index.ts';
import type { Gateway } from '../gateway/index.ts';
import { printDefect } from './crash.ts';
import { openGateway } from './open-gateway.ts';
import { confirmDeletion, requireOrganizationName } from './organization.ts';
import { endOnClosedOutput } from './output.ts';
import { start } from './start.ts';
import type { ExportOptions, ImportOptions } from './transfer.ts';
import { version } from './version.ts';

// A command loads what it runs when it runs, so that help and refusals do not wait for the modules of the gateway.

/** The maximum number of connections that one run of `demo` creates. */
const CONNECTIONS_MAX = 100_000;

const print = (line: string) => process.stdout.write(`${line}\n`);

/** All commands with their arguments. */
export const program = new Command('credential-gateway')
  .description(
    'A GraphQL API for third-party credentials: redacted when shown, sealed at rest. Settings are read from the environment; the README lists them.',
  )
  .version(version, '-V, --version', 'print the version')
  .showHelpAfterError('Add --help to see the arguments.')
  .configureOutput({ writeErr: (text) => process.stderr.write(text) });

program
  .command('start')
  .description('serve GraphQL at /graphql, and GraphiQL for browsers')
  .action(() => start(readConfig(process.env), print));

program
  .command('token')
  .description('print a development token that is valid for twelve hours; only with the embedded database and on loopback')
  .requiredOption('--organization <name>', 'the organization that the token is for')
  .requiredOption(
    '--scope <scope...>',
    `the scopes to grant, such as credentials.get; all.Organization grants all except ${namedScopes.join(', ')}, which must be named`,
  )
  .addHelpText('after', `\nThe scopes are: ${grantableScopes.join(', ')}.`)
  .action(async ({ organization, scope }: { organization: string; scope: string[] }) => {
    const config = readConfig(process.env);
    const [{ developmentSecretOf }, { developmentToken }] = await Promise.all([import('./master-keys.ts'), import('./token.ts')]);
    const secret = developmentSecretOf(config);
    if (!secret)
      throw new ConfigError(
        'Development tokens are not available with this configuration: TOKEN_JWKS_URL or TOKEN_SECRET is set. Use a token of that issuer.',
      );
    const token = await developmentToken(config, secret, organization, scope);
    await withGateway(({ platform }) => platform.record('createDevelopmentToken', { organization, details: scope.join(' ') }));
    print(token);
  });

program
  .command('subgraph')
  .description(
    'print the schema of the subgraph (Apollo Federation 2) as the settings FEDERATION_ADDS, TYPE_NAMES and ROOT_FIELDS make it, for the composition of a supergraph; needs no database and no key',
  )
  .action(async () => {
    const { subgraph } = await import('./subgraph.ts');
    process.stdout.write(await subgraph(process.env));
  });

program
  .command('demo')
  .description('fill an organization with sample connections, credentials and end users')
  .requiredOption('--organization <name>', 'the organization to fill')
  .option('--connections <number>', `the number of connections to create, at most ${CONNECTIONS_MAX}`, connectionCount, 300)
  .action(async ({ organization, connections }: { organization: string; connections: number }) => {
    requireOrganizationName(organization);
    await withGateway(async (gateway) => {
      const { demo } = await import('./demo.ts');
      await demo(gateway, organization, connections, print);
    });
  });

program
  .command('import <file>')
  .description(
    'import what `export` has written, or lines of the same form, into an organization; - reads the standard input. What exists already is updated, so if it is stopped, run it again. Exit code 1: a line was not imported as it is, or the file is not complete',
  )
  .requiredOption('--organization <name>', 'the organization to import into')
  .option('--key <file>', 'the private key that opens the secrets: a PEM or a JSON Web Key')
  .option(
    '--replace-secrets',
    'replace the secrets of existing credentials by those of the lines with their references; by default they are kept',
  )
  .action(async (file: string, options: ImportOptions) => {
    requireOrganizationName(options.organization);
    await withGateway(async (gateway) => {
      const { importFile } = await import('./transfer.ts');
      process.exitCode = await importFile(gateway, file, options, print);
    });
  });

program
  .command('export <file>')
  .description(
    'write the integrations, end users, credentials, connectors and connections of an organization to a new file, as lines of JSON, without secrets; - writes to the standard output',
  )
  .requiredOption('--organization <name>', 'the organization to export')
  .option('--with-secrets', 'include the secrets, sealed for the owner of a public key; each leaves an entry in the audit log')
  .option('--recipient <file>', 'the public key: a PEM or a JSON Web Key')
  .option('--reason <text>', 'why the secrets are exported, for the audit log')
  .action(async (file: string, options: ExportOptions) => {
    requireOrganizationName(options.organization);
    await withGateway(async (gateway) => {
      const { exportOrganization } = await import('./transfer.ts');
      process.exitCode = await exportOrganization(gateway, file, options);
    });
  });

program
  .command('organization')
  .description('manage organizations')
  .command('delete <name>')
  .description(
    'permanently delete an organization with its keys and all its data, after its name was typed again; the name cannot be used for another one',
  )
  .option('--yes', 'do not ask')
  .action(async (name: string, { yes = false }: { yes?: boolean }) => {
    requireOrganizationName(name);
    await confirmDeletion(name, yes);
    await withGateway(async (gateway) => {
      if (!(await gateway.deleteOrganization(name))) throw new ConfigError('There is no organization with that name.');
      print('Deleted. Backups contain its data until they expire.');
    });
  });

const keys = program.command('keys').description('manage the keys that secrets are sealed under; the gateway can run at the same time');

keys
  .command('rotate')
  .description('create new data keys, re-seal all secrets under them, and destroy the old keys; if it is stopped, run it again to continue')
  .option('--organization <name>', 'only for this organization')
  .option('--finish', 'do not create new keys, only finish earlier rotations')
  .option('--wait', 'wait until the old keys are destroyed, about five minutes')
  .action(async (options: { organization?: string; finish?: boolean; wait?: boolean }) => {
    await withGateway(async (gateway) => {
      const { organization, finish } = options;
      const about = organization === undefined ? {} : { organization };
      await gateway.platform.record('rotateKeys', { ...about, details: finish ? 'finish earlier rotations' : 'begin' });
      const { rotate } = await import('./keys.ts');
      process.exitCode = await rotate(gateway, options, print);
      await gateway.platform.record('rotateKeys', { ...about, details: `end, exit code ${process.exitCode}` });
    });
  });

keys
  .command('rewrap')
  .description('wrap all data keys again under the first master key; list the old master keys after it')
  .action(async () => {
    await withGateway(async (gateway) => {
      await gateway.platform.record('rewrapKeys', { details: 'begin' });
      const { rewrap } = await import('./keys.ts');
      process.exitCode = await rewrap(gateway, print);
      await gateway.platform.record('rewrapKeys', { details: `end, exit code ${process.exitCode}` });
    });
  });

program
  .command('migrate')
  .description(
    'migrate a database of an earlier version; it accepts whatever the database contains, so run it once, while you trust the database and no copy of the gateway runs',
  )
  .action(async () => {
    await withGateway(
      async (gateway) => {
        const { migrate } = await import('./migrate.ts');
        process.exitCode = await migrate(gateway, print);
      },
      { opensOldFormat: true },
    );
  });

program
  .command('integrity')
  .description('verify that only the gateway has written the stored objects')
  .command('check')
  .description('list the objects that were inserted or changed, but not by the gateway, and the secrets that cannot be opened')
  .option('--organization <name>', 'only for this organization')
  .action(async ({ organization }: { organization?: string }) => {
    await withGateway(async (gateway) => {
      const { checkIntegrity } = await import('./integrity.ts');
      process.exitCode = await checkIntegrity(gateway, organization, print);
    });
  });

const audit = program
  .command('audit')
  .description('verify the audit logs, which have an entry for every mutation; entries are authenticated, and sealed into a hash chain');

audit
  .command('verify')
  .description(
    'check every entry and every batch, to detect removed, changed or inserted entries; also of the log of the platform. Exit code 0: all logs are intact. 1: a log is not intact, or the command failed',
  )
  .option('--organization <name>', 'only the log of this organization')
  .option('--platform', 'only the log of the platform')
  .option('--heads <file>', 'compare with the output of an earlier `audit heads`, or with what an AUDIT_SINK has written')
  .action(async (options: { organization?: string; platform?: boolean; heads?: string }) => {
    await withGateway(async (gateway) => {
      const { verifyAudit } = await import('./audit.ts');
      process.exitCode = await verifyAudit(gateway, options, print);
    });
  });

audit
  .command('heads')
  .description('seal all entries and print the newest batch of each log as a line of JSON; keep the output elsewhere')
  .action(async () => {
    const { printAuditHeads } = await import('./audit.ts');
    await withGateway((gateway) => printAuditHeads(gateway, print));
  });

audit
  .command('list')
  .description(
    'print the entries of the log of the platform as lines of JSON, oldest first; the query `auditLog` reads those of organizations',
  )
  .requiredOption('--platform', 'the log of what happened to the platform itself')
  .action(async () => {
    const { printPlatformLog } = await import('./audit.ts');
    await withGateway((gateway) => printPlatformLog(gateway, print));
  });

program
  .command('backup <file>')
  .description('write a consistent snapshot of the embedded database to a file, without the master key; back that up separately')
  .action(async (file: string) => {
    const config = readConfig(process.env);
    const { backup, recordBackup } = await import('./backup.ts');
    await backup(config, file);
    const [notice] = await recordBackup(config);
    if (notice) print(notice);
    print(`Copied to ${file}. It does not contain the master key, which is needed to open the secrets.`);
  });

program
  .command('restore <file>')
  .description('restore a backup into a DATA_DIR that does not contain an embedded database')
  .action(async (file: string) => {
    const [{ restore }, { noteRestore }] = await Promise.all([import('./backup.ts'), import('./restore-note.ts')]);
    const { dataDirectory } = await restore(readConfig(process.env), file);
    noteRestore(dataDirectory);
    print(`Restored into ${dataDirectory}. Put the master key of the backup there before you start the gateway.`);
  });

program
  .command('check')
  .description('check the file of the embedded database: its structure, all checksums, and that indexes and documents agree')
  .action(async () => {
    const { check } = await import('./backup.ts');
    process.exitCode = await check(readConfig(process.env), print);
  });

/** Runs the command that the arguments name. */
export async function runProgram(): Promise<void> {
  endOnClosedOutput();
  try {
    await program.parseAsync();
  } catch (error) {
    // What a user can mend is told in words; of a defect only where it is.
    const sentence = error instanceof ConfigError ? error.message : (await import('./messages.ts')).sentenceOf(error);
    if (sentence !== undefined) process.stderr.write(`${sentence}\n`);
    else printDefect(error);
    process.exitCode = 1;
  }
}

/** Runs a command on the configured gateway, whether or not a server is running. */
async function withGateway(run: (gateway: Gateway) => Promise<void>, options?: { readonly opensOldFormat: boolean }): Promise<void> {
  const { gateway, close } = await openGateway(readConfig({ ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' }), options);
  try {
    await run(gateway);
  } finally {
    await close();
  }
}

function connectionCount(text: string): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > CONNECTIONS_MAX) throw new InvalidArgumentError(`It must be a whole number from 1 to ${CONNECTIONS_MAX}.`);
  return value;
}
