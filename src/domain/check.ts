import {
  AlteredRecordError,
  CredentialNotUsableError,
  NotFoundError,
  type NotUsable,
  ServiceFailedError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import { refuseUnknown } from '../fields/check.ts';
import { type Choices, choice, integer, objectType, text } from '../fields/field.ts';
import { OutboundError } from '../services/outbound/index.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorCheck, ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { shownSecrets } from '../store/token.ts';
import type { DomainContext, GatewayContext } from './context.ts';
import { findCredential } from './credential.ts';
import type { ProblemCode } from './findings.ts';
import { severalAtOnce } from './in-turn.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { oauth2SettingsOf } from './oauth-client.ts';
import { asItself } from './organization.ts';
import { required } from './records.ts';
import { type ConnectionRef, requireConnection } from './references.ts';
import { problemOfStatus, sendPrepared } from './send-prepared.ts';
import { checkTokens, credentialsToCheck, hasTokensToCheck } from './token-check.ts';
import { noteUsed, permittedUrl, planUse, prepareRequest } from './use.ts';

/** The methods of requests that check a connection. */
const checkMethod = {
  enumName: 'CheckMethod',
  description: 'The method of a request that checks a connection.',
  values: { GET: 'Reads something.', HEAD: 'Reads the headers only.' },
} as const satisfies Choices<ConnectorCheck['method']>;

/** How the connections of a connector are checked. */
export const connectorCheck = objectType({
  typeName: 'ConnectorCheck',
  inputName: 'ConnectorCheckInput',
  description: 'A request that shows whether a connection works: one that reads little and changes nothing.',
  fields: {
    method: choice({ choices: checkMethod, description: 'The method.' }),
    path: text({
      maxLength: 2_048,
      format: 'requestPath',
      description: 'The path below the base URL, with a query if it needs one, such as `/v1/me?fields=id`.',
    }),
    expectedStatus: integer({
      optional: true,
      min: 200,
      max: 499,
      description: 'The status of the answer if the connection works. Null if any from 200 to 299.',
    }),
  },
});

/** How long a check may take, in milliseconds. */
const CHECK_MS = 10_000;

/**
 * Asks the service of a connection whether it works, as its connector says how, and writes the result at once. If the connector does not say how, the tokens of
 * its credentials are checked, and what is found is written to the credentials.
 *
 * @throws ValidationError when the connector does not say how, and there are no tokens to check
 * @throws NotFoundError, InvalidIntegrationError, AlteredRecordError
 */
export async function checkConnection(
  context: MutationContext,
  { connection: ref, ...rest }: { readonly connection: ConnectionRef },
): Promise<ConnectionRecord> {
  refuseUnknown(rest);
  const { store } = context;
  // The entry in the audit log is committed before anything is sent.
  const { connection, check, credentials } = await mutate(context, async () => {
    const connection = await requireConnection(context, ref, ['connection']);
    const connector = connection.connectorId === null ? null : await store.connectors.one({ id: connection.connectorId });
    const check = connector?.check ?? null;
    const credentials = check ? [] : await credentialsToCheck(context, connection);
    if (!check && credentials.length === 0) throw notCheckable(['connection']);
    return { id: connection.id, connection, check, credentials };
  });
  if (check) await ask(context, connection, check);
  else await askAboutTokens(context, credentials);
  return required(await store.connections.one({ id: connection.id }), new NotFoundError('connection', ['connection']));
}

/** How many of the connections that use a credential are looked at. */
const CONNECTIONS_MAX = 20;

/**
 * Tries to open the secrets of a credential, and checks the newest connection that uses it for requests and whose connector says how; without one, its tokens.
 * Writes the result at once.
 *
 * @throws NotFoundError, AlteredRecordError
 */
export async function checkCredential(
  context: MutationContext,
  { credential: id, ...rest }: { readonly credential: string },
): Promise<CredentialRecord> {
  refuseUnknown(rest);
  const { store, health } = context;
  const missing = new NotFoundError('credential', ['credential']);
  const credential = await mutate(context, async () => required(await findCredential(context, id), missing));
  const readable = (await store.secrets.readableFields([credential])).get(id);
  if (shownSecrets(credential.secrets).some((field) => !readable?.has(field))) {
    await health.write({ connectionId: null, credentialIds: [id], problem: 'SECRET_UNREADABLE' }, context.now());
  } else {
    if (credential.findings?.some(({ code }) => code === 'SECRET_UNREADABLE')) await health.writeReadable(id, context.now());
    const way = await connectionToCheck(context, id);
    if (way) await ask(context, way.connection, way.check);
    else if (await hasTokensToCheck(context, credential)) await askAboutTokens(context, [credential]);
  }
  return required(await findCredential(context, id), missing);
}

/** Returns the newest connection that uses a credential for requests and can be checked. */
async function connectionToCheck(
  { store }: DomainContext,
  credentialId: string,
): Promise<{ readonly connection: ConnectionRecord; readonly check: ConnectorCheck } | null> {
  const request = { limit: CONNECTIONS_MAX, sortField: 'createdAt', descending: true };
  const { records } = await store.connections.evenAltered.page({ credentialIds: credentialId }, request);
  const connections = records.filter(
    ({ isAltered, actionCredentials }) => !isAltered && actionCredentials.some((each) => each.credentialId === credentialId),
  );
  const connectors = await store.connectors.evenAltered.byIds([...new Set(connections.flatMap(({ connectorId }) => connectorId ?? []))]);
  for (const connection of connections) {
    const connector = connectors.find(({ id }) => id === connection.connectorId);
    if (connector?.check && !connector.isAltered) return { connection, check: connector.check };
  }
  return null;
}

function notCheckable(path: readonly string[]): ValidationError {
  return new ValidationError([
    {
      path: [...path],
      message: 'has no connector that says how to check it (`check` of the connector), and no tokens that can be checked',
    },
  ]);
}

/** Asks the service about the tokens of credentials, and writes what it says. @throws AlteredRecordError */
async function askAboutTokens(context: DomainContext, credentials: readonly CredentialRecord[]): Promise<void> {
  const { now, health } = context;
  const at = now();
  await Promise.all(
    credentials.map(async (credential) => {
      const { problem, credentialIds } = await checkTokens(context, credential);
      if (problem !== 'KNOWN') await health.write({ connectionId: null, credentialIds, problem }, at);
    }),
  );
}

/** Sends the request of a check, and writes what it shows. @throws AlteredRecordError */
async function ask(context: DomainContext, connection: ConnectionRecord, check: ConnectorCheck): Promise<void> {
  const { now, health } = context;
  // What changes while the service is asked was not asked about.
  const at = now();
  const plan = await planUse(context, connection, 'ACTION');
  const credentialIds = plan.credentials.map(({ id }) => id);
  const problem = await answerOf(context, plan, check);
  if (problem === 'KNOWN') return;
  await health.write({ connectionId: connection.id, credentialIds, problem }, at);
}

type Plan = Awaited<ReturnType<typeof planUse>>;

/**
 * Why a request cannot be sent that the state of the connection shows without a check, or that says nothing about the connection: a viewer who cannot see
 * all of its credentials cannot check it.
 */
const known: ReadonlySet<NotUsable> = new Set(['DISABLED', 'SECRET_MISSING', 'CREDENTIAL_MISSING', 'HIDDEN']);

/** Returns what is wrong; null if it works; `KNOWN` if the service was not asked, because what is wrong is known anyway. @throws AlteredRecordError */
async function answerOf(
  context: DomainContext,
  plan: Plan,
  { method, path, expectedStatus }: ConnectorCheck,
): Promise<ProblemCode | 'KNOWN' | null> {
  const headers = [['accept', '*/*']] as const;
  try {
    const url = permittedUrl(plan, { url: plan.resolve(path), headers });
    const prepared = await prepareRequest(context, plan, { method, url, headers, body: 'ABSENT' });
    noteUsed(context, plan);
    const rest = () => ({ limits: { headersMs: CHECK_MS, totalMs: CHECK_MS } });
    const { answer } = await sendPrepared(context, prepared, { method, rest, renew: prepared.renew });
    // Nothing but the status is read.
    answer.body.destroy();
    const { status } = answer;
    if (expectedStatus === null ? status >= 200 && status < 300 : status === expectedStatus) return null;
    return problemOfStatus(status) ?? 'UNEXPECTED_ANSWER';
  } catch (error) {
    if (error instanceof UnreadableSecretError) return 'SECRET_UNREADABLE';
    if (error instanceof OutboundError) return 'SERVICE_FAILED';
    if (error instanceof ServiceFailedError) return 'TOKEN_REQUEST_FAILED';
    if (error instanceof CredentialNotUsableError) {
      if (error.reason === 'NEEDS_AUTHORIZATION') return 'AUTHORIZATION_LOST';
      return known.has(error.reason) ? 'KNOWN' : 'NOT_USABLE';
    }
    throw error;
  }
}

/** How many connections of an organization a run of the job checks, and how many at once. */
const CHECKS_OF_RUN = 60;
const CHECKS_AT_ONCE = 5;
/** How many organizations are checked at once, so that services that do not answer delay few others. */
const ORGANIZATIONS_AT_ONCE = 8;
/** How many connectors one command names. */
const CONNECTORS_AT_ONCE = 100;

/**
 * Checks the connections that were not checked by this job for some hours: a limited number in each run, so that they spread over the time. Before it
 * asks, it claims a connection, so that several copies of the gateway do not ask at once, and one that cannot be checked is not tried again soon.
 *
 * @throws AggregateError of all failures, after everything else is done
 */
export async function checkDueConnections(gateway: GatewayContext, hours: number): Promise<void> {
  await severalAtOnce(await gateway.stores.liveOrganizations(), ORGANIZATIONS_AT_ONCE, async (organizationId) => {
    const context = asItself(gateway, organizationId);
    const { store, now } = context;
    const connectors = (await store.connectors.evenAltered.all({})).filter((connector) => !connector.isAltered && saysHow(connector));
    let left = CHECKS_OF_RUN;
    for (let from = 0; from < connectors.length && left > 0; from += CONNECTORS_AT_ONCE) {
      const byId = new Map(connectors.slice(from, from + CONNECTORS_AT_ONCE).map((connector) => [connector.id, connector]));
      const before = new Date(now().getTime() - hours * 60 * 60_000);
      const due = (await store.connections.toCheck([...byId.keys()], before, left)).slice(0, left);
      left -= due.length;
      for (let at = 0; at < due.length; at += CHECKS_AT_ONCE) {
        await Promise.all(due.slice(at, at + CHECKS_AT_ONCE).map((connection) => checkClaimed(context, connection, byId, before)));
      }
    }
  });
}

/** Whether a connector says how its connections are checked: by a request, or by introspection of their tokens. */
function saysHow({ check, authSchemes }: ConnectorRecord): boolean {
  return check != null || authSchemes.some((scheme) => scheme.schemeType === 'OAUTH2' && oauth2SettingsOf(scheme).introspectionUrl != null);
}

async function checkClaimed(
  context: DomainContext,
  connection: ConnectionRecord,
  connectors: ReadonlyMap<string, ConnectorRecord>,
  before: Date,
): Promise<void> {
  const { store, now, health } = context;
  if (!(await store.connections.claimCheck(connection.id, before, now()))) return;
  const state = (await health.ofConnections([connection]))[0]!.state;
  // Nobody needs to ask: somebody has decided it, or must consent first.
  if (state === 'DISABLED' || state === 'NEEDS_AUTHORIZATION') return;
  try {
    const { check } = connectors.get(connection.connectorId!)!;
    if (check) await ask(context, connection, check);
    else await askAboutTokens(context, await credentialsToCheck(context, connection));
  } catch (error) {
    // That shows without asking.
    if (!(error instanceof AlteredRecordError)) throw error;
  }
}
