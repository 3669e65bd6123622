import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { expect, it } from 'vitest';
import { sentenceOf } from '../../src/cli/messages.ts';
import { confirmDeletion } from '../../src/cli/organization.ts';
import { program } from '../../src/cli/program.ts';
import { databaseAt, databaseOf, withSettings } from './here.ts';
import { newDataDirectory, run, send, useProcesses, useServer } from './process.ts';

useProcesses();

const shared = useServer();

/** The arguments that each command succeeds with. `file` is a path at which nothing exists. */
const commands: Readonly<Record<string, (file: string) => readonly string[]>> = {
  start: () => [],
  token: () => ['--organization', 'example', '--scope', 'credentials.get'],
  subgraph: () => [],
  demo: () => ['--organization', 'example', '--connections', '1'],
  import: () => ['-', '--organization', 'example'],
  export: (file) => [file, '--organization', 'example'],
  'organization delete': () => ['doomed', '--yes'],
  'keys rotate': () => [],
  'keys rewrap': () => [],
  migrate: () => [],
  'integrity check': () => [],
  'audit verify': () => [],
  'audit heads': () => [],
  'audit list': () => ['--platform'],
  backup: (file) => [file],
  restore: (file) => [file],
  check: () => [],
};

function leavesOf(command: Command, path: readonly string[] = []): [string, Command][] {
  return command.commands.length > 0
    ? command.commands.flatMap((each) => leavesOf(each, [...path, each.name()]))
    : [[path.join(' '), command]];
}
const leaves = leavesOf(program);

/** What commander itself says. */
let told = '';
const prepare = (command: Command) => {
  const tell = (text: string) => {
    told += text;
  };
  command.exitOverride().configureOutput({ writeErr: tell, writeOut: tell });
  command.commands.forEach(prepare);
};
prepare(program);

/** Returns what the user is told when a command fails; undefined stands for a defect. */
async function failureOf(name: string, args: readonly string[]): Promise<string | undefined> {
  try {
    await program.parseAsync([...name.split(' '), ...args], { from: 'user' });
  } catch (error) {
    return sentenceOf(error);
  }
  throw new Error(`${name} has not failed.`);
}

/** One sentence, with no class, code or place of a defect. */
const sentence = /^[A-Z(][^\n{}]*\.$/;

it('knows all commands', () => {
  expect(Object.keys(commands).sort()).toEqual(leaves.map(([name]) => name).sort());
});

it('refuses unknown and missing arguments of every command in a sentence', async () => {
  const refused: (readonly string[])[] = [['unknown'], ['--unknown']];
  for (const [name, command] of leaves) {
    const words = name.split(' ');
    refused.push([...words, '--unknown']);
    // After a list, it would be an item.
    if (!command.options.some(({ variadic }) => variadic)) refused.push([...words, ...commands[name]!('file'), 'superfluous']);
    if (command.registeredArguments.length > 0 || command.options.some(({ mandatory }) => mandatory)) refused.push(words);
    for (const option of command.options.filter(({ required }) => required)) refused.push([...words, option.long!]);
  }
  for (const connections of ['0', '-1', '1.5', '1e3', '0x10', ' 1', '', 'NaN', '100001'])
    refused.push(['demo', '--organization', 'example', '--connections', connections]);
  for (const args of refused) {
    told = '';
    await expect(program.parseAsync(args, { from: 'user' }), args.join(' ')).rejects.toMatchObject({ exitCode: 1 });
    expect(told, args.join(' ')).toMatch(/^error: [^\n]+\nAdd --help to see the arguments\.\n$/);
  }
  // As a process.
  expect(await run(['token'], {}).ended).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^error: [^\n]+\nAdd [^\n]+\n$/) });
});

it('prints its version', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(await run(['--version'], {}).ended).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

it('says of every command in a sentence that the database does not respond', async () => {
  const directory = newDataDirectory();
  writeFileSync(join(directory, 'file'), '');
  const settings = { ...databaseAt('mongodb://127.0.0.1:1/?replicaSet=rs0'), DATA_DIR: directory };
  // This one needs no database.
  const names = Object.keys(commands).filter((name) => name !== 'subgraph');
  // Beside each other: each waits ten seconds.
  const failures = await withSettings(settings, () =>
    Promise.all(names.map((name) => failureOf(name, commands[name]!(join(directory, 'file'))))),
  );
  for (const [index, name] of names.entries()) {
    const usesDatabase = !['token', 'backup', 'restore', 'check'].includes(name);
    expect(failures[index], name).toMatch(usesDatabase ? /^MONGODB_URI: no database responded within ten seconds/ : sentence);
  }
  expect(readdirSync(directory)).toEqual(['file']);
});

it('says of every command in a sentence that there is no such organization, or that none can have the name', async () => {
  const settings = databaseOf(shared, shared.directory);
  const named = leaves.flatMap(([name, { options, registeredArguments }]) =>
    options.some(({ long }) => long === '--organization') || registeredArguments.some((each) => each.name() === 'name') ? [name] : [],
  );
  expect(named.sort()).toEqual([
    'audit verify',
    'demo',
    'export',
    'import',
    'integrity check',
    'keys rotate',
    'organization delete',
    'token',
  ]);
  for (const name of named) {
    const argumentsFor = (organization: string) =>
      name === 'organization delete'
        ? [organization, '--yes']
        : [
            ...(['export', 'import'].includes(name) ? [join(shared.directory, 'no-such-file')] : []),
            ...['--organization', organization, ...(name === 'token' ? ['--scope', 'credentials.get'] : [])],
          ];
    // Tokens are for the embedded database only, and their names are checked before it is opened.
    await withSettings(name === 'token' ? { DATA_DIR: newDataDirectory() } : settings, async () => {
      // These are for any name: the first mutation creates the organization.
      if (!['demo', 'import', 'token'].includes(name))
        expect(await failureOf(name, argumentsFor('nobody')), name).toBe('There is no organization with that name.');
      for (const impossible of ['../x', '', ' example', 'x'.repeat(65)])
        expect(await failureOf(name, argumentsFor(impossible)), `${name} ${impossible}`).toMatch(
          /^(The name of an organization must be|There is no organization with that name)/,
        );
    });
  }
});

it('ends in a sentence when nobody reads its output, except for the server', async () => {
  const directory = new URL('../../src/cli/', import.meta.url);
  // What is printed in one place is handled for all commands.
  const printing = readdirSync(directory).filter((file) =>
    /process\.stdout\.write|console\./.test(readFileSync(new URL(file, directory), 'utf8')),
  );
  expect(printing).toEqual(['program.ts']);
  const list = run(['audit', 'list', '--platform'], { DATA_DIR: shared.directory });
  list.child.stdout.destroy();
  expect(await list.ended).toMatchObject({ code: 1, stderr: 'The output cannot be written (EPIPE).\n' });

  const preload = join(newDataDirectory(), 'preload.mjs');
  writeFileSync(
    preload,
    `import { Server } from 'node:http';
     const { listen } = Server.prototype;
     Server.prototype.listen = function (...args) {
       this.on('listening', () => process.stderr.write(\`port \${this.address().port}\\n\`));
       return listen.apply(this, args);
     };`,
  );
  const server = run(['start'], { DATA_DIR: newDataDirectory(), PORT: '0', NODE_OPTIONS: `--import=${preload}` });
  server.child.stdout.destroy();
  await expect.poll(() => server.output.stderr, { timeout: 90_000 }).toMatch(/^port \d+\n$/);
  const url = `http://127.0.0.1:${/\d+/.exec(server.output.stderr)![0]}/graphql`;
  // Each request is logged, and nobody reads that.
  for (let count = 0; count < 3; count++) expect((await send(url, 'none', '{ __typename }')).errors).toHaveLength(1);
  server.child.kill('SIGTERM');
  expect((await server.ended).code).toBe(0);
});

it('deletes an organization only if its name is typed again, or with --yes', async () => {
  const terminal = (typed: string, { isTerminal = true } = {}) => ({
    input: Object.assign(new PassThrough(), { isTTY: isTerminal }).end(typed),
    output: Object.assign(new PassThrough(), { isTTY: isTerminal }),
  });
  for (const typed of ['', '\n', 'yes\n', 'Asked\n', 'asked2\n', '\nasked\n'])
    await expect(confirmDeletion('asked', false, terminal(typed)), typed).rejects.toThrow(/^Nothing was deleted: this is not the name/);
  for (const typed of ['asked\n', ' asked \r\n']) await confirmDeletion('asked', false, terminal(typed));
  // Without a terminal, what is typed does not count: it can be the answer to another question.
  await expect(confirmDeletion('asked', false, terminal('asked\n', { isTerminal: false }))).rejects.toThrow('needs --yes');
  await confirmDeletion('asked', true, terminal('', { isTerminal: false }));

  const settings = { DATA_DIR: shared.directory };
  const scope = ['--scope', 'integrations.get', 'integrations.post'];
  const token = (await run(['token', '--organization', 'asked', ...scope], settings).ended).stdout.trim();
  await send(shared.url, token, 'mutation { createIntegration(input: { name: "crm" }) { __typename } }');
  const integrations = () => send(shared.url, token, '{ integrations { totalCount } }');
  const deletion = ['organization', 'delete', 'asked'];
  const refused = await run(deletion, settings, { input: 'asked\n' }).ended;
  expect(refused).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^Nothing was deleted: [^\n]* needs --yes\.\n$/) });
  expect(await integrations()).toEqual({ data: { integrations: { totalCount: 1 } } });
  const preload = join(newDataDirectory(), 'terminal.mjs');
  writeFileSync(preload, 'process.stdin.isTTY = process.stderr.isTTY = true;');
  const deleted = await run(deletion, { ...settings, NODE_OPTIONS: `--import=${preload}` }, { input: 'asked\n' }).ended;
  expect(deleted).toMatchObject({ code: 0, stdout: expect.stringContaining('Deleted.') });
  await expect.poll(async () => (await integrations()).errors?.[0]?.extensions.code, { timeout: 20_000 }).toBe('UNAUTHENTICATED');
  // Its name is not used again.
  const demo = await run(['demo', '--organization', 'asked'], settings).ended;
  expect(demo).toMatchObject({ code: 1, stderr: 'The organization was deleted, and its name cannot be used again.\n' });
});

it('says in a sentence what is wrong with a file', async () => {
  const directory = newDataDirectory();
  const file = join(directory, 'file');
  writeFileSync(file, 'no backup');
  await withSettings({ DATA_DIR: directory }, async () => {
    expect(await failureOf('restore', [file])).toMatch(sentence);
    expect(await failureOf('restore', [join(directory, 'missing')])).toMatch(sentence);
    expect(await failureOf('check', [])).toMatch(sentence);
    expect(await failureOf('backup', [join(directory, 'copy')])).toMatch(sentence);
  });
  expect(existsSync(join(directory, 'copy'))).toBe(false);
});
