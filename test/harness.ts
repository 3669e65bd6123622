import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JWTPayload } from 'jose';
import { type Db, MongoClient } from 'mongodb';
import { pino } from 'pino';
import { afterAll, beforeAll } from 'vitest';
import { grantableScopes } from '../src/access/scopes.ts';
import type { CredentialKind } from '../src/credential-kinds/define.ts';
import { startEmbeddedMongodb } from '../src/embedded-mongodb/index.ts';
import { createGateway, type Gateway, type GatewayOptions, type MasterKeySource } from '../src/gateway/index.ts';
import type { Limits } from '../src/limits.ts';
import { createSchema } from '../src/schema/index.ts';
import { onFirstUse } from '../src/store/lazily.ts';
import { kindRegistry } from './kinds.ts';

/** What an operation answers: of any shape, and the test says which. */
// biome-ignore lint/suspicious/noExplicitAny: typing every answer would hide what the tests say
export type Json = any;

/** Who asks, in a test. */
export interface Caller {
  readonly organization: string;
  /** Everything that can be granted, unless told. */
  readonly scopes?: readonly string[];
  readonly claims?: JWTPayload;
  /** What is presented as a bearer token in the place of one made of the above. */
  readonly token?: string;
}

/** An answer, with everything that left the gateway, for tests that search it all. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as it came. */
  readonly text: string;
  readonly data: Json;
  readonly errors: Json[] | undefined;
}

const issuer = 'https://issuer.example';
const audience = 'credential-gateway-tests';
const tokenSecret = randomBytes(32);
let organizations = 0;
/** The schema of most tests. Building it takes as long as most of them. */
const usualSchema = onFirstUse(() => createSchema(kindRegistry));

/** A gateway on a database of its own: the embedded one, or the one that MONGODB_URI names. */
export class TestGateway {
  readonly masterKey = new Uint8Array(randomBytes(32));
  /** The commands sent to the database, in order. */
  readonly commands: string[] = [];
  /** The lines logged. */
  readonly logs: string[] = [];
  /** The clock; set it to travel. */
  time: () => Date = () => new Date();
  uri = '';
  /**
   * What a request may cost. No rate limits: tests send a lot, all as one viewer, and count the commands that they cause. And a list that is counted
   * slowly on a busy machine is counted.
   */
  limits: Partial<Limits> = { rateLimit: 0, organizationRateLimit: 0, anonymousRateLimit: 0, countSeconds: 60 };
  /** The rules of the operator. */
  policy: GatewayOptions['policy'] = { publicUrl: 'https://gateway.example', returnOrigins: ['https://app.example.com'] };
  /** The time that no clock changes, in milliseconds. It stands still unless a test moves it. */
  elapsed = 0;
  /** The credential kinds; the built-in ones unless told. */
  credentialKinds: readonly CredentialKind[] | undefined;
  /** How it is a subgraph; none unless told. */
  federation: GatewayOptions['federation'];
  /** Other names of the schema. */
  names: GatewayOptions['names'];
  /** The origins whose pages may use the gateway. */
  corsOrigins: readonly string[] = [];
  /** The number of proxies in front of it. */
  trustedProxies = 0;
  /** Where the issuer's keys are, in the place of the secret of the tests' tokens. */
  jwksUrl: URL | undefined;
  /** Where the audit log is streamed to; nowhere unless told. */
  auditSink: GatewayOptions['auditSink'];
  /** How requests go out to third parties. The services of tests are on this machine. */
  outbound: GatewayOptions['outbound'] = { allowedAddresses: ['127.0.0.0/8', '::1/128'], allowsHttp: true };
  /** Whether events are numbered at once, as in a gateway that serves. Otherwise, whoever reads them numbers them. */
  runsJobs = false;
  /** How long a stop waits for what runs. What a test has left running need not end. */
  drainSeconds = 0;
  /** The trusted documents. */
  trustedDocuments: GatewayOptions['trustedDocuments'];
  /** Whether reads of credentials are logged. */
  logsReads = false;
  /** Whether messages of defects are logged, as in development. */
  logsDefectMessages = false;
  readonly databaseName = `test-${randomBytes(6).toString('hex')}`;
  #gateway: Gateway | undefined;
  #client: MongoClient | undefined;
  /** Where the embedded database lies; undefined on another. */
  directory: string | undefined;
  #stopDatabase: () => Promise<void> = async () => {};

  get gateway(): Gateway {
    if (!this.#gateway) throw new Error('The test gateway is not started.');
    return this.#gateway;
  }

  /** The database itself, round the gateway. */
  get database(): Db {
    this.#client ??= new MongoClient(this.uri);
    return this.#client.db(this.databaseName);
  }

  async start(): Promise<void> {
    this.uri = process.env.MONGODB_URI ?? (await this.#startEmbedded());
    await this.open();
  }

  /** Opens the gateway on the database, also after `close`. */
  async open(masterKeys: readonly MasterKeySource[] = [this.masterKey]): Promise<void> {
    this.#gateway = await createGateway({
      database: { uri: this.uri, name: this.databaseName, onCommand: (name) => this.commands.push(name) },
      masterKeys,
      tokens: {
        issuer,
        audience,
        organizationClaim: 'organization',
        key: this.jwksUrl ? { jwksUrl: this.jwksUrl } : { secret: tokenSecret },
      },
      logger: pino({ level: 'trace' }, { write: (line) => void this.logs.push(line) }),
      graphiql: true,
      ...(this.credentialKinds && { credentialKinds: this.credentialKinds }),
      federation: this.federation,
      names: this.names,
      builtSchema: this.credentialKinds || this.federation || this.names ? undefined : usualSchema(),
      limits: this.limits,
      policy: this.policy,
      ...(this.auditSink && { auditSink: this.auditSink }),
      ...(this.trustedDocuments && { trustedDocuments: this.trustedDocuments }),
      ...(this.outbound && { outbound: this.outbound }),
      logsReads: this.logsReads,
      corsOrigins: this.corsOrigins,
      trustedProxies: this.trustedProxies,
      logsDefectMessages: this.logsDefectMessages,
      // Tests count commands; what is done each minute they ask for.
      runsJobs: this.runsJobs,
      readsRevocations: false,
      drainSeconds: this.drainSeconds,
      now: () => this.time(),
      elapsed: () => this.elapsed,
    });
  }

  async close(): Promise<void> {
    await this.#gateway?.stop();
    this.#gateway = undefined;
  }

  async stop(): Promise<void> {
    await this.close();
    // The files of an embedded database are removed, so nothing in them needs to be deleted one by one, and overwritten.
    if (this.uri && !this.directory) await this.database.dropDatabase();
    await this.#client?.close();
    await this.#stopDatabase();
  }

  async #startEmbedded(): Promise<string> {
    const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-test-'));
    this.directory = directory;
    const { uri, stop } = await startEmbeddedMongodb({ directory });
    this.#stopDatabase = async () => {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    };
    return uri;
  }

  /** The name of an organization that no other test uses. */
  newOrganization(): string {
    return `org-${++organizations}-${randomBytes(4).toString('hex')}`;
  }

  /** A token that the gateway takes; `claims` replace what it would hold, undefined removes. */
  async token({ organization, scopes = grantableScopes, claims = {}, token }: Caller, secret: Uint8Array = tokenSecret): Promise<string> {
    if (token) return token;
    const now = Math.floor(this.time().getTime() / 1000);
    const payload = { organization, scope: scopes.join(' '), sub: 'tester', iss: issuer, aud: audience, exp: now + 600, ...claims };
    // Signed by Node, in this thread: jose does it in another one, which takes longer than a small request.
    const parts = [{ alg: 'HS256' }, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${parts}.${createHmac('sha256', secret).update(parts).digest('base64url')}`;
  }

  /** Sends a request through the front door. */
  async send(body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const isSubscription = /^(\s|#.*)*subscription\b/.test((body as Json)?.query);
    const request = new Request('http://gateway.test/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(isSubscription && { accept: 'text/event-stream' }), ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const response = await this.gateway.fetch(request);
    const text = await textOf(response);
    const { data, errors } = bodyIn(text);
    return { status: response.status, headers: response.headers, text, data, errors: errors && withoutRequestId(errors, response.headers) };
  }

  /** Runs an operation and gives the whole answer, whatever it is. Of a subscription that begins, that is empty data. */
  async answer(caller: Caller, query: string, variables?: object): Promise<Answer> {
    return this.send({ query, variables }, { authorization: `Bearer ${await this.token(caller)}` });
  }

  /** Runs an operation that must succeed, and gives its data. */
  async query(caller: Caller, query: string, variables?: object): Promise<Json> {
    const { errors, data, text } = await this.answer(caller, query, variables);
    if (errors || !data) throw new Error(`The operation failed.\n${query}\nvariables: ${Object.keys(variables ?? {}).join(', ')}\n${text}`);
    return data;
  }

  /** Runs one mutation with an `input`, and gives the object that its success holds. */
  async create(
    caller: Caller,
    noun: 'Integration' | 'Connector' | 'EndUser' | 'Connection' | 'Credential',
    input: object,
    fields = 'id',
  ): Promise<Json> {
    const selection = noun === 'Credential' ? `... on CredentialBase { ${fields} }` : fields;
    const name = noun[0]!.toLowerCase() + noun.slice(1);
    const data = await this.query(
      caller,
      `mutation ($input: Create${noun}Input!) {
        result: create${noun}(input: $input) {
          __typename ... on Create${noun}Success { ${name} { ${selection} } } ... on MutationError { code message }
        }
      }`,
      { input },
    );
    if (!data.result[name]) throw new Error(`create${noun} failed: ${JSON.stringify(data.result)}`);
    return data.result[name];
  }

  /** Makes an API key: its id, and the key. */
  async makeAPIKey(caller: Caller, input: object): Promise<{ id: string; key: string }> {
    const query = `mutation ($input: CreateAPIKeyInput!) {
      result: createAPIKey(input: $input) { ... on CreateAPIKeySuccess { issued { id: apiKeyId key } } ... on MutationError { code message } }
    }`;
    const { result } = await this.query(caller, query, { input: { name: `key-${randomBytes(6).toString('hex')}`, ...input } });
    if (!result.issued) throw new Error(`createAPIKey failed: ${JSON.stringify(result)}`);
    return result.issued;
  }

  /** Makes a token for an end user. */
  async makeEndUserToken(caller: Caller, endUser: object, more: object = {}): Promise<string> {
    const query = `mutation ($input: CreateEndUserTokenInput!) {
      result: createEndUserToken(input: $input) {
        ... on CreateEndUserTokenSuccess { endUserToken { token } } ... on MutationError { code message }
      }
    }`;
    const { result } = await this.query(caller, query, { input: { endUser, ...more } });
    if (!result.endUserToken) throw new Error(`createEndUserToken failed: ${JSON.stringify(result)}`);
    return result.endUserToken.token;
  }

  /** The commands that reading or writing sends to the database, without the driver's own. */
  async countCommands(run: () => Promise<unknown>): Promise<string[]> {
    const before = this.commands.length;
    await run();
    return this.commands.slice(before).filter((name) => !['hello', 'ping', 'endSessions', 'killCursors'].includes(name));
  }
}

/** The text of a response. Of a stream, the first message: the refusal of a subscription, or where it has begun. */
export async function textOf(response: Response): Promise<string> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return response.text();
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream() as never) as unknown as AsyncIterable<string>) {
    text += chunk;
    if (/^(id|data): .*\n\n/m.test(text)) break;
  }
  return text;
}

/** The GraphQL response in the text of an answer. */
export function bodyIn(text: string): Json {
  if (text.startsWith('{')) return JSON.parse(text);
  const [, message] = /^data: (.+)$/m.exec(text) ?? [];
  if (message) return JSON.parse(message);
  return { data: /^id: /m.test(text) ? {} : undefined, errors: undefined };
}

/** Errors without the id of the request, which each must tell as the header does. It is another one each time, so tests would not compare it. */
export function withoutRequestId(errors: readonly Json[], headers: Headers): Json[] {
  return errors.map(({ extensions: { requestId, ...extensions }, ...error }) => {
    if (!requestId || requestId !== headers.get('x-request-id'))
      throw new Error(`The error ${error.message} has not the id of its request.`);
    return { ...error, extensions };
  });
}

/** A gateway for the tests of a file: started before them, stopped after. */
export function useTestGateway(test = new TestGateway()): TestGateway {
  beforeAll(() => test.start());
  afterAll(() => test.stop());
  return test;
}
