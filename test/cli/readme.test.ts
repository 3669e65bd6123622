import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { isObjectType, parse, validate } from 'graphql';
import { expect, it } from 'vitest';
import { program } from '../../src/cli/program.ts';
import { builtInKinds } from '../../src/credential-kinds/index.ts';
import { createKindRegistry } from '../../src/credential-kinds/registry.ts';
import { healthStates, problemCodes } from '../../src/domain/health.ts';
import { createSchema } from '../../src/schema/index.ts';
import { shownConfigurations } from '../clients/shown.ts';
import { consent } from '../services/consent-by-hand.ts';
import { newDataDirectory, startServer, useProcesses } from './process.ts';

useProcesses();

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

interface Block {
  readonly language: string;
  readonly text: string;
}
const blocksOf = (markdown: string) =>
  [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]): Block => ({ language: language!, text: text! }));
/** Those of README.md, and of src/README.md the commands and programs. */
const blocks = [
  ...blocksOf(readme),
  ...blocksOf(readFileSync(join(root, 'src/README.md'), 'utf8')).filter(({ language, text }) => language || text.startsWith('npm ')),
];

const exampleService = 'test/tools/example-service.mjs';
/** The first line of the block with the settings for the example service. */
const settingsForExample = 'export OUTBOUND_ALLOW_HTTP=true OUTBOUND_ALLOWED_ADDRESSES=127.0.0.1,::1';

/** The blocks that are not run, by their first lines: why, and what is checked instead. All others are run; one of another language fails. */
const notRun: Readonly<Record<string, { readonly why: string; readonly check: (text: string) => void | Promise<void> }>> = {
  ...Object.fromEntries(
    shownConfigurations.map((text) => [
      text.split('\n')[0]!,
      { why: 'It is of a front end. The tests of clients use it.', check: (shown) => expect(shown.trim()).toBe(text.trim()) },
    ]),
  ),
  'git clone REPOSITORY credential-gateway': {
    why: 'The checkout is there, and the server of this test is the one that it starts.',
    check: (text) => {
      expect(text.trim().split('\n').slice(1)).toEqual(['cd credential-gateway', 'npm ci', 'npm start']);
      expect(scripts.prepare).toBe('npm run build && npm run build:types');
      expect(scripts.start).toBe('node --max-semi-space-size=64 dist/main.js start');
    },
  },
  'type EndUser @key(fields: "integrationName externalId") { integrationName: String externalId: String! balance: Int! }': {
    why: 'It is of somebody else’s subgraph. test/supergraph.test.ts composes one with the same key.',
    check: (text) => {
      const [, key] = /@key\(fields: "([^"]+)"\)/.exec(text)!;
      expect(readFileSync(join(root, 'subgraph.graphql'), 'utf8')).toMatch(new RegExp(`^type EndUser .*@key\\(fields: "${key}"\\)`, 'm'));
    },
  },
  'node dist/main.js subgraph > credentials.graphql': {
    why: 'The programs that compose are those of others. test/cli/subgraph.test.ts runs the command.',
    check: () => expect(program.commands.map((command) => command.name())).toContain('subgraph'),
  },
  ...Object.fromEntries(
    ['# supergraph.yaml, for Rover', '# graph.yaml, for wgc', '# router.yaml, for Apollo Router', '# config.yaml, for Cosmo Router'].map(
      (first) => [
        first,
        {
          why: 'It is for a program of others that cannot be installed with npm.',
          check: (text: string) => {
            expect(text).toContain('credentials');
            expect(text).not.toMatch(/\t/);
          },
        },
      ],
    ),
  ),
  '// gateway.config.js, for Hive Gateway': {
    why: 'It starts a server of others. test/supergraph.test.ts serves a supergraph with it.',
    check: (text) => expect(text).toContain('export const gatewayConfig = {'),
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
  'async function follow({ createClient, url, token, onStart, onEvent }) {': {
    why: 'It listens for ever. What it sends is what test/http/live.test.ts sends.',
    async check(text) {
      const asked: unknown[] = [];
      const told: unknown[] = [];
      const one = { data: { events: { cursor: 'one' } } };
      const answers = [one, failure('UNAUTHENTICATED'), failure('CURSOR_EXPIRED'), one, failure('FORBIDDEN')];
      function failure(code: string) {
        return { errors: [{ extensions: { code } }], data: null };
      }
      const createClient = ({ headers, on }: { headers: () => unknown; on: { connected: () => void } }) => ({
        async *iterate({ query }: { query: string }) {
          expect(validate(createSchema(createKindRegistry(builtInKinds)), parse(query))).toEqual([]);
          asked.push(await headers());
          on.connected();
          yield answers[asked.length - 1];
        },
      });
      let tokens = 0;
      const given = {
        createClient,
        token: async () => String(++tokens),
        onStart: () => told.push('start'),
        onEvent: ({ cursor }: { cursor: string }) => told.push(cursor),
      };
      await expect(new Function('given', `${text}; return follow(given);`)(given)).rejects.toThrow('FORBIDDEN');
      const after = { 'last-event-id': 'one' };
      expect(asked).toEqual([
        { authorization: 'Bearer 1' },
        { authorization: 'Bearer 2', ...after },
        { authorization: 'Bearer 3', ...after },
        { authorization: 'Bearer 4' },
        { authorization: 'Bearer 5', ...after },
      ]);
      expect(told).toEqual(['start', 'one', 'start', 'one']);
    },
  },
  '{ "type": "credential.about_to_expire", "timestamp": "2027-03-01T09:00:00.000Z",': {
    why: 'It is what a receiver gets. test/services/webhooks.test.ts receives such messages.',
    check: (text) => {
      const { type, data } = JSON.parse(text);
      const schema = createSchema(createKindRegistry(builtInKinds));
      expect(type).toBe(`${data.objectType}.${data.type}`.toLowerCase());
      const query = `{ events { nodes { ${Object.keys({ ...data, expiry: 0 }).join(' ')} { ${Object.keys(data.expiry).join(' ')} } } } }`;
      expect(validate(schema, parse(query))).toEqual([]);
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
  'npm start                start the server': {
    why: 'It is a list of commands.',
    check: (text) => {
      for (const line of text.trim().split('\n')) expect(Object.keys(scripts)).toContain(/^npm (?:run )?([a-z:-]+) /.exec(line)![1]);
    },
  },
  'npm run example-service': {
    why: 'It runs already.',
    check: (text) => {
      expect(text.trim().split('\n')).toHaveLength(1);
      expect(scripts['example-service']).toBe(`node ${exampleService}`);
    },
  },
  [settingsForExample]: {
    why: 'The server of this test was started with these settings.',
    check: (text) => expect(text.trim().split('\n').at(-1)).toBe('npm start'),
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
};

/** What the answers of blocks contain that do more than succeed: by a part of the block. Each is found once at least. */
const contained: Readonly<Record<string, string>> = {
  '{ username password { redacted } }': '"username":"ada","password":{"redacted":"*****"}',
  'requestPlan {': '"steps":[{"location":"HEADER","name":"X-API-Key","value":"*****"}],"problems":[]',
  'in: QUERY': '"steps":[{"location":"QUERY","name":"key","value":"*****"}],"problems":[]',
  '/proxy/': '{"tickets":["The printer is on fire"]}',
  'authorizeRequest(': '"headers":[{"name":"X-API-Key","value":"example-key"}]',
  'discoverConnector(': '/token/revocation"',
  'completeAuthorization(': '"allowedDomains":["localhost"],"allowedPurposes":["ACTION","TRIGGER","TOKEN_REQUEST"]',
  'checkCredential(': '"state":"WORKING"',
  'revoke: true': '"revocation":"REVOKED"',
  'revealSecret(': '"plaintext":"hunter2"',
  'events(after:': '"type":"CREATED","objectType":"INTEGRATION"',
  'createWebhook(': '"secret":"whsec_',
};

/** What a reader takes from the answer to a block into the next ones: by a part of the block, the variables that get its ids, in their order. */
const ids: Readonly<Record<string, readonly string[]>> = {
  'requestPlan {': ['connection'],
  'oauth2Client:': ['client'],
  'completeAuthorization(': ['connection', 'credential'],
  'BasicAuthCredential { id': ['credential'],
};

/** Starts the example service. */
async function startExample() {
  const child = spawn(process.execPath, [join(root, exampleService)], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: /http:\S+/.exec(line.toString())![0], stop: () => child.kill() };
}

/** Consents as a person does with a browser, and returns the parameters with which the browser comes back to the application. */
async function consentAt(service: string, authorizationUrl: string, gateway: string): Promise<Record<string, string>> {
  const callback = await consent(service, authorizationUrl, 'consent');
  const redirect = await fetch(`${gateway}${callback.pathname}${callback.search}`, { redirect: 'manual' });
  const page = new URL(redirect.headers.get('location')!);
  const parameters = Object.fromEntries(page.searchParams);
  // The page shows what is to be copied.
  expect(await (await fetch(page)).text()).toContain(`&#34;code&#34;: &#34;${parameters.code}&#34;`);
  return parameters;
}

it('every block of code does what it is for, from top to bottom, on a fresh directory', async () => {
  expect(blocks.length).toBeGreaterThan(20);
  const directory = newDataDirectory();
  const example = await startExample();
  try {
    const local = (text: string) => text.replaceAll('http://localhost:8080', example.url);
    const { text: settings = '' } = blocks.find(({ text }) => text.startsWith(settingsForExample)) ?? {};
    const server = await startServer(
      directory,
      Object.fromEntries([...local(settings).matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name!, value!])),
    );
    const { origin } = new URL(server.url);
    const kept: Record<string, string> = {};
    const done: string[] = [];
    const found = new Set<string>();
    const shown: string[] = [];
    for (const { language, text } of blocks) {
      const [first] = text.split('\n');
      done.push(first!);
      let answer = '';
      if (notRun[first!]) {
        await notRun[first!]!.check(text);
        continue;
      } else if (language === 'sh') {
        const script = text.replaceAll('http://127.0.0.1:4000', origin).replace(/^(node dist\/main\.js demo .*)$/m, '$1 --connections 8');
        const { connection: CONNECTION = '', API_KEY = '', TOKEN = '' } = kept;
        const env = { ...process.env, DATA_DIR: directory, CONNECTION, API_KEY, TOKEN };
        // All blocks are for one terminal.
        const lines = `${script}\nprintf "\\nTOKEN=%s" "$TOKEN"`;
        answer = (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', lines], { cwd: root, env })).stdout;
        kept.TOKEN = /^TOKEN=(.*)$/m.exec(answer)![1]!;
      } else if (language === 'graphql') {
        const response = await fetch(server.url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${server.token}` },
          body: JSON.stringify({ query: local(text), variables: kept }),
        });
        answer = await response.text();
      } else if (language === 'ts') {
        // The tests of the package compile and run these files.
        const project = join(root, 'test/package/project');
        const file = readdirSync(project).find((name) => readFileSync(join(project, name), 'utf8') === text);
        expect(file, text).toBeDefined();
        shown.push(file!);
        continue;
      } else {
        expect.fail(`Decide whether this block is run:\n${text}`);
      }
      if (language === 'graphql' || text.includes('/graphql')) {
        expect(answer, text).toContain('"data"');
        expect(answer, text).not.toMatch(/"errors"|"code":/);
      }
      for (const [part, expected] of Object.entries(contained)) {
        if (!text.includes(part)) continue;
        expect(answer, text).toContain(expected);
        found.add(part);
      }
      const [, names = []] = Object.entries(ids).find(([part]) => text.includes(part)) ?? [];
      const answered = [...answer.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id!);
      for (const [index, name] of names.entries()) kept[name] = answered[index]!;
      const [, key] = /"key":"([^"]+)"/.exec(answer) ?? [];
      if (key) kept.API_KEY = key;
      const [, authorizationUrl] = /"authorizationUrl":"([^"]+)"/.exec(answer) ?? [];
      if (authorizationUrl) Object.assign(kept, await consentAt(example.url, authorizationUrl, origin));
    }
    expect(done).toEqual(expect.arrayContaining(Object.keys(notRun)));
    expect([...found].sort()).toEqual(Object.keys(contained).sort());
    expect(shown.sort()).toEqual(['badge-checks.ts', 'badge.ts', 'express.ts', 'fastify.ts', 'gateway.ts', 'hono.ts', 'node.ts']);
  } finally {
    example.stop();
  }
});

it('README.md describes every state and problem of a connection', () => {
  for (const code of [...healthStates, ...problemCodes]) expect(readme).toMatch(new RegExp(`^\\| .*\`${code}\`.* \\| `, 'm'));
});

/** The anchors of the headings of a document, as GitHub makes them: a repeated one gets a number. */
function anchorsOf(file: string): Set<string> {
  const anchors = new Set<string>();
  const prose = readFileSync(join(root, file), 'utf8').replace(/^```.*?^```$/gms, '');
  for (const [, title] of prose.matchAll(/^#+ (.*)$/gm)) {
    const anchor = title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    let free = anchor;
    for (let count = 1; anchors.has(free); count++) free = `${anchor}-${count}`;
    anchors.add(free);
  }
  return anchors;
}

it.each(['README.md', 'src/README.md', 'CHANGELOG.md', 'SECURITY.md', 'CONTRIBUTING.md'])('every link of %s leads somewhere', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const lost: string[] = [];
  for (const [link, path, anchor] of text.matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
    const target = path ? join(dirname(file), path) : file;
    if (!existsSync(join(root, target)) || (anchor !== undefined && !anchorsOf(target).has(anchor))) lost.push(link);
  }
  expect(lost).toEqual([]);
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
