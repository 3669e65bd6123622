import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { isObjectType, parse, validate } from 'graphql';
import { expect, it } from 'vitest';
import { program } from '../../src/cli/program.ts';
import { builtInKinds } from '../../src/credential-kinds/index.ts';
import { createKindRegistry } from '../../src/credential-kinds/registry.ts';
import { createSchema } from '../../src/schema/index.ts';
import { newDataDirectory, startServer, useProcesses } from './process.ts';

useProcesses();

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

interface Block {
  readonly language: string;
  readonly text: string;
}
const blocks = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]): Block => ({ language: language!, text: text! }));

/** The blocks that are not run, by their first lines: why, and what is checked instead. All others are run; one of another language fails. */
const notRun: Readonly<Record<string, { readonly why: string; readonly check: (text: string) => void | Promise<void> }>> = {
  'git clone REPOSITORY credential-gateway': {
    why: 'The checkout is there, and the server of this test is the one that it starts.',
    check: (text) => {
      expect(text.trim().split('\n').slice(1)).toEqual(['cd credential-gateway', 'npm ci', 'npm start']);
      expect(scripts.prepare).toBe('npm run build');
      expect(scripts.start).toBe('node --max-semi-space-size=64 dist/main.js start');
    },
  },
  'function signIn({ form }) {': {
    why: 'It is for the page of a browser, and would leave for Zendesk.',
    check: (text) => {
      const posted: unknown[] = [];
      const element = (name: string) => ({
        name,
        children: [] as unknown[],
        append(child: unknown) {
          this.children.push(child);
        },
        submit() {
          posted.push(this);
        },
      });
      const document = { createElement: element, body: { append: () => {} } };
      const form = { action: 'https://acme.zendesk.com/access/jwt', fields: [{ name: 'jwt', value: 'token' }] };
      new Function('document', 'form', `${text}; signIn({ form });`)(document, form);
      expect(posted).toMatchObject([
        { action: form.action, method: undefined, children: [{ type: 'hidden', name: 'jwt', value: 'token' }] },
      ]);
    },
  },
  'async function follow({ createClient, url, token, onEvent }) {': {
    why: 'It listens for ever. What it sends is what test/http/live.test.ts sends.',
    async check(text) {
      const asked: unknown[] = [];
      const events = [{ cursor: 'one' }, { cursor: 'two' }];
      const createClient = ({ headers }: { headers: () => unknown }) => ({
        async *iterate({ query }: { query: string }) {
          expect(validate(createSchema(createKindRegistry(builtInKinds)), parse(query))).toEqual([]);
          asked.push(headers());
          if (asked.length > 2) yield { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] };
          else yield { data: { events: events[asked.length - 1] } };
        },
      });
      const told: unknown[] = [];
      const given = { createClient, token: () => 'token', onEvent: (event: unknown) => told.push(event) };
      await expect(new Function('given', `${text}; return follow(given);`)(given)).rejects.toThrow('UNAUTHENTICATED');
      const authorization = 'Bearer token';
      expect([told, asked]).toEqual([
        events,
        [{ authorization }, { authorization, 'last-event-id': 'one' }, { authorization, 'last-event-id': 'two' }],
      ]);
    },
  },
  'node dist/main.js start                                            start the server': {
    why: 'It is a list of commands.',
    check: (text) => {
      const leavesOf = (command: Command): string[] =>
        command.commands.length > 0
          ? command.commands.flatMap((each) => leavesOf(each).map((leaf) => `${each.name()} ${leaf}`.trim()))
          : [''];
      const named = text
        .trim()
        .split('\n')
        .map((line) => /^node dist\/main\.js ([a-z]+(?: [a-z]+)?)/.exec(line)![1]!);
      expect(named.sort()).toEqual(leavesOf(program).sort());
      // No option that a command does not have.
      const help = (command: Command): string => command.helpInformation() + command.commands.map(help).join('');
      for (const [option] of text.matchAll(/--[a-z-]+/g)) expect(help(program)).toContain(option);
    },
  },
  'npm start             start the server': {
    why: 'It is a list of commands.',
    check: (text) => {
      for (const line of text.trim().split('\n')) expect(Object.keys(scripts)).toContain(/^npm (?:run )?([a-z:]+) /.exec(line)![1]);
    },
  },
  "import { secret, text } from '../fields/field.ts';": {
    why: 'It is a module of src. It is loaded from another directory, with its imports made absolute.',
    check: async (text) => {
      const file = join(newDataDirectory(), 'acme.ts');
      const directory = new URL('../../src/credential-kinds/', import.meta.url);
      writeFileSync(
        file,
        text.replace(/from '(\.[^']+)'/g, (_, path) => `from '${fileURLToPath(new URL(path, directory))}'`),
      );
      const { acme } = await import(pathToFileURL(file).href);
      const type = createSchema(createKindRegistry([...builtInKinds, acme])).getType('AcmeCredential');
      expect(isObjectType(type) && type.getFields()).toMatchObject({ region: {}, apiKey: {} });
    },
  },
  'const gateway = await createGateway({ ...options, credentialKinds: [...builtInKinds, acme] });': {
    why: 'It is a line of a program whose options are its own. test/own-kinds.test.ts runs such a gateway.',
    check: async () => {
      const exported = await import('../../src/gateway.ts');
      expect(exported).toMatchObject({ createGateway: expect.any(Function), builtInKinds });
    },
  },
};

/** Fails if an answer, or several in one text, contains an error. */
function expectSuccess(answer: string, block: string): void {
  expect(answer, block).toContain('"data"');
  expect(answer, block).not.toMatch(/"errors"|"code":/);
}

it('every block of code does what it is for, from top to bottom, on a fresh directory', async () => {
  expect(blocks.length).toBeGreaterThan(12);
  const directory = newDataDirectory();
  const server = await startServer(directory);
  /** What a reader takes from one answer into the next block. */
  const kept: { API_KEY?: string; credential?: string } = {};
  const done: string[] = [];
  for (const { language, text } of blocks) {
    const [first] = text.split('\n');
    done.push(first!);
    if (notRun[first!]) {
      await notRun[first!]!.check(text);
    } else if (language === 'sh') {
      const script = text
        .replaceAll('http://127.0.0.1:4000/graphql', server.url)
        .replace(/^(node dist\/main\.js demo .*)$/m, '$1 --connections 8');
      const env = { ...process.env, DATA_DIR: directory, ...(kept.API_KEY && { API_KEY: kept.API_KEY }) };
      const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: root, env });
      if (text.includes('curl')) expectSuccess(stdout, text);
      // What the text says that the last command returns.
      if (text.includes('TOKEN=')) expect(stdout).toContain('"username":"ada","password":{"redacted":"*****"}');
    } else if (language === 'graphql') {
      const variables = text.includes('$credential') ? { credential: kept.credential } : {};
      const response = await fetch(server.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${server.token}` },
        body: JSON.stringify({ query: text, variables }),
      });
      const answer = await response.text();
      expectSuccess(answer, text);
      kept.API_KEY ??= /"key":"([^"]+)"/.exec(answer)?.[1];
      if (text.includes('BasicAuthCredential')) kept.credential = /"id":"([^"]+)"/.exec(answer)?.[1];
      if (text.includes('revealSecret(')) expect(answer).toContain('"plaintext":"hunter2"');
    } else {
      expect.fail(`Decide whether this block of README.md is run:\n${text}`);
    }
  }
  expect(done).toEqual(expect.arrayContaining(Object.keys(notRun)));
  expect(kept).toEqual({ API_KEY: expect.any(String), credential: expect.any(String) });
});

// Outside of a checkout, it would run what a stranger has published under that name.
it('no text tells anybody to run the package with npx', () => {
  const files = [
    'README.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    ...readdirSync(join(root, 'src'), { recursive: true }).map((file) => join('src', String(file))),
  ];
  const telling = files
    .filter((file) => /\.(md|ts)$/.test(file))
    .flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) => /(npx|npm exec) (--\S+ )*credential-gateway/.test(line)),
    );
  expect(telling).toEqual([expect.stringContaining('Do not use `npx credential-gateway` outside of a checkout')]);
});
