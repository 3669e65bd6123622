import { expect, vi } from 'vitest';
import { grantableScopes } from '../../src/access/scopes.ts';
import { type Answer, bodyIn, type Caller, type Json, type TestGateway, textOf } from '../harness.ts';
import type { Canaries } from './canaries.ts';
import type { Sending } from './envelopes.ts';
import type { Path } from './places.ts';

/** What an operation did: a success, or a refusal with all the places that it names. */
export interface Outcome {
  readonly isDone: boolean;
  readonly status: number;
  /** Paths in the arguments. */
  readonly paths: readonly (readonly string[])[];
  /** Whether it is told where: in the arguments, in the document, or which scope or limit. */
  readonly isPlaced: boolean;
  readonly text: string;
}

/** Sends requests, and looks for canaries in all that comes of them: in the answer, the headers, the log, and what the process prints. */
export class LeakDetector {
  /** Words that the gateway has taken: they may be shown, and kept. */
  readonly taken = new Set<string>();
  /** How much was searched. */
  readonly searched = { answers: 0, logLines: 0, printed: 0, documents: 0, bytesOfFiles: 0 };
  readonly #leaks: string[] = [];
  readonly #printed: string[] = [];
  #logsSearched = 0;

  readonly #test: TestGateway;
  readonly #canaries: Canaries;
  readonly #seed: number;

  /** The seed is told when something has leaked, so that it can be found again. */
  constructor(test: TestGateway, canaries: Canaries, seed: number) {
    this.#test = test;
    this.#canaries = canaries;
    this.#seed = seed;
  }

  /** From now on, what the process prints is searched, too. `vi.restoreAllMocks` ends it. */
  listen(): void {
    for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const) {
      vi.spyOn(console, method).mockImplementation(
        (...args: unknown[]) =>
          void this.#printed.push(args.map((each) => (each instanceof Error ? `${each.stack}` : String(each))).join(' ')),
      );
    }
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
      vi.spyOn(stream, 'write').mockImplementation(((...args: unknown[]) => {
        this.#printed.push(String(args[0]));
        return write(...args);
      }) as never);
    }
  }

  /** Sends an operation. What it holds is taken when it is carried out. */
  async send(what: string, operation: { readonly query: string }, authorization: string): Promise<Outcome> {
    return this.search(what, await this.#test.send(operation, { authorization }), JSON.stringify(operation));
  }

  /** The same from code, where there is no HTTP. */
  async execute(what: string, organizationId: string, query: string, variables?: Record<string, unknown>): Promise<Outcome> {
    const viewer = { organizationId, kind: 'token' as const, subject: 'tester', scopes: new Set(grantableScopes) };
    const { data, errors } = (await this.#test.gateway.execute({ query, variables, viewer })) as { data?: Json; errors?: Json[] };
    return this.search(what, { status: 200, headers: new Headers(), text: JSON.stringify({ data, errors }), data, errors });
  }

  /** Sends a request of whatever form. */
  async sendAs(what: string, caller: Caller, { method = 'POST', url, body, headers, claims, scopes, isForged }: Sending): Promise<Outcome> {
    const token = await this.#test.token({ ...caller, claims, scopes: scopes ?? grantableScopes }, isForged ? Buffer.alloc(32) : undefined);
    const all = { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers };
    const request = new Request(url ?? 'http://gateway.test/graphql', {
      method,
      headers: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== '')),
      ...(method === 'GET' ? {} : { body }),
    });
    const response = await this.#test.gateway.fetch(request);
    const text = await textOf(response);
    const { data, errors } = bodyIn(text);
    return this.search(what, { status: response.status, headers: response.headers, text, data, errors });
  }

  /** Searches an answer, and all that was logged and printed since the last. The result of the operation is its field `result`. */
  search(what: string, { status, headers, text, data, errors = [] }: Answer, sent = ''): Outcome {
    const result: Json = data?.result;
    const isDone = errors.length === 0 && /Success$/.test(result?.__typename ?? '');
    if (isDone) this.take(sent);
    const logs = this.#test.logs.slice(this.#logsSearched);
    this.#logsSearched = this.#test.logs.length;
    this.searched.answers++;
    this.searched.logLines += logs.length;
    this.searched.printed += this.#printed.length;
    this.#look(what, 'the answer', text, isDone);
    this.#look(what, 'the headers', `${status} ${JSON.stringify([...headers])}`);
    for (const line of logs) this.#look(what, 'the log', line);
    for (const line of this.#printed.splice(0)) this.#look(what, 'the output', line);
    const told = [result, ...errors.map(({ extensions }) => extensions)].filter(Boolean);
    const paths = told.flatMap(({ path, issues = [] }) => [...(path ? [path] : []), ...issues.map((issue: Json) => issue.path)]);
    return {
      isDone,
      status,
      paths: paths.map((path: Path) => path.map(String)),
      isPlaced: paths.length > 0 || errors.some(({ locations, extensions }) => locations || extensions.scope || extensions.limit),
      text,
    };
  }

  #look(what: string, channel: string, content: string, mayShow = false): void {
    const hidden = this.#canaries.hiddenIn(content);
    if (hidden) this.report(`${what}: ${channel} shows what was planted as ${hidden}`);
    const shown = this.#canaries.shownIn(content).find((word) => !mayShow || !this.taken.has(word));
    if (shown) this.report(`${what}: ${channel} repeats what stood in ${this.#canaries.placeOf(shown)}`);
  }

  /** What may be shown from now on, of what a text holds. */
  take(text: string): void {
    for (const word of this.#canaries.shownIn(text)) this.taken.add(word);
  }
  report(leak: string): void {
    this.#leaks.push(leak);
  }
  /** Fails with what has leaked since the last time. */
  expectNoLeaks(): void {
    const found = this.#leaks.splice(0);
    expect(found.slice(0, 12), `${found.length} leaks with FUZZ_SEED=${this.#seed}`).toEqual([]);
  }
}
