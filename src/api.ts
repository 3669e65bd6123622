// What `import … from 'credential-gateway'` gives. Only what is exported here is promised to last.
import type { RequestListener } from 'node:http';
import type { GraphQLSchema } from 'graphql';
import {
  createGateway as createWholeGateway,
  HOW_TO_CREATE,
  MasterKeyError,
  masterKeyProblem,
  type GatewayOptions as WholeOptions,
} from './gateway/index.ts';
import type { ExecutionResult, Operation } from './http/index.ts';
import { SECRET_MIN, secretPlaceholder } from './placeholders.ts';

export type { Confinement, Viewer, ViewerKind } from './access/viewer.ts';
export type { AuditSinkTarget } from './audit-sink.ts';
export type { Apply } from './credential-kinds/apply.ts';
export { type CredentialKind, type Definition, defineCredentialKind, type KindField, type Write } from './credential-kinds/define.ts';
export type { Fact } from './credential-kinds/facts.ts';
export { type EmbeddedMongodb, type EmbeddedMongodbOptions, MissingLmdbError, startEmbeddedMongodb } from './embedded-mongodb/index.ts';
export type { ErrorCode, Issue } from './errors.ts';
export { type Choices, choice, flag, instant, integer, secret, text, textList } from './fields/field.ts';
export type { Format } from './fields/formats.ts';
export {
  builtInKinds,
  MasterKeyError,
  type MasterKeySource,
  MissingPackageError,
  OldFormatError,
  subgraphText,
  TrustedDocumentsError,
} from './gateway/index.ts';
export type { TokenSettings } from './http/authenticate.ts';
export type { ExecutionResult, Operation } from './http/index.ts';
export type { TrustedDocumentsSettings } from './http/trusted-documents.ts';
export type { KeyFiles } from './key-files/index.ts';
export type { Limits } from './limits.ts';
export type { Logger } from './logger.ts';
export type { Redacted } from './redacted.ts';
export { type FederationAddition, type FederationOptions, type SchemaNames, SchemaNamesError } from './schema-names.ts';
export type { OutboundSettings } from './services/outbound/index.ts';

/** What belongs to the command line, to its commands and to its processes, and to the tests. */
type NotPublic = 'isLazy' | 'builtSchema' | 'opensOldFormat' | 'sharesJobs' | 'readsRevocations' | 'elapsed';

/** How a gateway is created. Nothing is read from the environment. */
export interface GatewayOptions extends Omit<WholeOptions, NotPublic> {}

/** A running gateway. Its members can be called without the object. */
export interface Gateway {
  /** Answers a request of the Fetch standard. Rejects only when the request is aborted. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Answers a request of `node:http`. Frameworks must hand it over before they have read its body. */
  readonly requestListener: RequestListener;
  /**
   * Runs an operation on behalf of a viewer, without HTTP, with all checks but those of tokens and of requests. The result is plain data, with its
   * errors and their codes. Subscriptions are refused.
   */
  readonly execute: (operation: Operation) => Promise<ExecutionResult>;
  /** The GraphQL schema, with the types of all credential kinds. For tools that print or examine it: whoever executes it directly passes no check. */
  readonly schema: GraphQLSchema;
  /**
   * Refuses further requests (503, `UNAVAILABLE`), ends live queries, waits for running requests (`drainSeconds`) and ends those that have not ended
   * then. It then ends the jobs and worker threads, and closes the database connections. Can be called again. Stop it before you close the server:
   * a server waits for live queries.
   */
  readonly stop: () => Promise<void>;
}

/**
 * Creates a gateway and connects it to its database. Two gateways in one process share nothing.
 *
 * @throws OldFormatError when an earlier version wrote the database: run `credential-gateway migrate` once
 * @throws SchemaNamesError when `names` do not fit the schema
 * @throws TrustedDocumentsError when a manifest is not valid, or a document of it does not fit the schema
 * @throws MissingPackageError when an option needs a package that is not installed
 * @throws MasterKeyError when there is no master key, one is neither 32 bytes nor the ARN of a key, the first one is a placeholder, or none opens the data keys of the database
 * @throws TokenSettingsError when the shared secret of tokens is too short, or a placeholder
 * @throws Error when the database does not respond, or two credential kinds cannot stand in one schema
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  refuseGuessable(options);
  const gateway = await createWholeGateway(options);
  const { fetch, requestListener, execute, schema, stop } = gateway;
  return { fetch, requestListener, execute, schema, stop };
}

/** The settings of tokens would let others make tokens. */
export class TokenSettingsError extends Error {
  override name = 'TokenSettingsError';
}

/** Refuses keys and secrets that others can guess, as the command line does. */
function refuseGuessable({ masterKeys, tokens }: GatewayOptions): void {
  const problem = masterKeyProblem(masterKeys);
  if (problem) throw new MasterKeyError(`masterKeys: ${problem}`);
  if (!('secret' in tokens.key)) return;
  const { secret } = tokens.key;
  if (secret.length < SECRET_MIN) throw new TokenSettingsError(`tokens.key.secret must be at least ${SECRET_MIN} bytes. ${HOW_TO_CREATE}`);
  const reason = secretPlaceholder(Buffer.from(secret).toString('latin1'));
  if (reason) throw new TokenSettingsError(`tokens.key.secret is a placeholder: it ${reason}. ${HOW_TO_CREATE}`);
}
