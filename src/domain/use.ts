import type { Application, Template } from '../credential-kinds/apply.ts';
import { filled } from '../credential-kinds/apply.ts';
import { AlteredRecordError, CredentialNotUsableError, type NotUsable, UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import {
  type AppliedCredentials,
  applyCredentials,
  type OpenedCredential,
  type RequestToSign,
  tellsAwsService,
} from '../services/requests/index.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme, ConnectorRecord } from '../store/connector.ts';
import type { CredentialPurpose, CredentialRecord } from '../store/credential.ts';
import { type AccessToken, accessToken, anotherAccessToken } from './access-token.ts';
import type { DomainContext } from './context.ts';
import { forbiddenUses } from './credential-use.ts';
import { visibilityOf } from './credential-visibility.ts';
import { noteFinding } from './findings.ts';
import { needsAuthorization } from './health.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { shown } from './reading.ts';
import { tokenProblems } from './token-source.ts';
import { applicationOf, isSignature, type Place, placesOf, secretsIn, signedBody } from './use-application.ts';
import { below, coversSite, givenUrl, isAt, matchesUrl, type Site, siteOf } from './use-site.ts';

export type { BodyToSign } from '../services/requests/index.ts';

/** A part of a request that a credential adds. */
export interface PlanStep extends Place {
  readonly credentialId: string;
}

/** A reason why requests cannot be sent over a connection, or not with one of its credentials. */
export interface PlanProblem {
  readonly code: NotUsable;
  /** Null if it is about the connection. */
  readonly credentialId: string | null;
}

/** How the credentials of a connection are applied to requests. No secret was opened for it. */
export interface UsePlan {
  readonly connection: ConnectionRecord;
  readonly purpose: CredentialPurpose;
  /** In the order of application: that of the connection, with signatures after everything that they cover. */
  readonly steps: readonly PlanStep[];
  readonly problems: readonly PlanProblem[];
  /** With the variables of the connection in it. Null if it is not known where the connection leads. */
  readonly baseUrl: URL | null;
  /** The hosts that requests may go to: canonical host names, or `*.example.com`. */
  readonly allowedHosts: readonly string[];
  readonly credentials: readonly CredentialRecord[];
  /** What must be known of the body before the request is prepared: a signature covers it. Otherwise it need not be read before. */
  readonly signs: 'NOTHING' | 'BODY_DIGEST' | 'BODY';
  /** Whether a request to this URL may be prepared. */
  permits(url: URL): boolean;
  /**
   * Returns the URL of a path with its query below the base URL: what the caller sends begins with a slash or a question mark, or is empty. Null if it
   * is no URL of this host.
   */
  resolve(pathAndQuery: string): URL | null;
  /** Returns the URL that a caller means: an absolute one, or a path below the base URL. Null if it is neither, or leads to another host than that. */
  urlOf(text: string): URL | null;
}

/** The purposes for which requests are sent over connections. */
export type RequestPurpose = 'ACTION' | 'TRIGGER';

/** Whether a text is meant as a path below a base URL. */
export function isRelative(text: string): boolean {
  return text.startsWith('/');
}

/** What a request needs to be sent over a connection. */
export interface PreparedRequest extends AppliedCredentials {
  readonly plan: UsePlan;
  /**
   * After the service has refused it (401): prepares the request again with another token. Null if no other can be had. Call it once, and only if
   * the body can be sent again.
   */
  renew(): Promise<PreparedRequest | null>;
}

/** A credential of a plan, and how it is applied. */
interface Applied {
  readonly credential: CredentialRecord;
  readonly scheme: AuthScheme | null;
  readonly application: Application;
}

/** The part of a plan that only this file needs. */
interface OwnPlan extends UsePlan {
  readonly applied: readonly Applied[];
}

/** A connection and the purpose of requests over it. */
export interface PlannedUse {
  readonly connection: ConnectionRecord;
  readonly purpose: CredentialPurpose;
}

/** Reads how the credentials of a connection are applied. Opens no secret and sends nothing. Problems are in the plan, not thrown. */
export async function planUse(context: DomainContext, connection: ConnectionRecord, purpose: CredentialPurpose): Promise<UsePlan> {
  return (await planUses(context, [{ connection, purpose }]))[0]!;
}

/** Does the same for many connections, with the same number of commands: two, and up to three more if credentials are not found. */
export async function planUses(context: DomainContext, uses: readonly PlannedUse[]): Promise<UsePlan[]> {
  const { store } = context;
  const bound = uses.flatMap((use) => bindingsOf(use).map(({ credentialId }) => credentialId));
  const ids = [...new Set(bound)];
  const connectorIds = [...new Set(uses.flatMap(({ connection }) => connection.connectorId ?? []))];
  const [found, connectors] = await Promise.all([
    ids.length === 0 ? [] : store.credentials.evenAltered.byIds(ids),
    connectorIds.length === 0 ? [] : store.connectors.evenAltered.byIds(connectorIds),
  ]);
  const credentials = new Map(shown(context, 'credential', found).map((credential) => [credential.id, credential]));
  const missing = ids.filter((id) => !credentials.has(id));
  const visibility = await visibilityOf(context, missing);
  return uses.map((use) => {
    const connector = connectors.find(({ id }) => id === use.connection.connectorId) ?? null;
    return planOf(
      context,
      use,
      connector,
      (id) => credentials.get(id) ?? (visibility.get(id) === 'HIDDEN' ? 'HIDDEN' : 'CREDENTIAL_MISSING'),
    );
  });
}

function bindingsOf({ connection, purpose }: PlannedUse) {
  if (purpose === 'ACTION') return connection.actionCredentials;
  return purpose === 'TRIGGER' ? connection.triggerCredentials : [];
}

function planOf(
  context: Pick<DomainContext, 'kinds' | 'policy' | 'now'>,
  use: PlannedUse,
  connector: ConnectorRecord | null,
  credentialOf: (id: string) => CredentialRecord | NotUsable,
): OwnPlan {
  const { kinds } = context;
  const { connection, purpose } = use;
  const problems: PlanProblem[] = [];
  const refuse = (code: NotUsable, credentialId: string | null = null) => {
    if (!problems.some((each) => each.code === code && each.credentialId === credentialId)) problems.push({ code, credentialId });
  };
  const led = siteOf(connection, connector);
  const site: Site | null = typeof led === 'string' ? null : led;
  for (const code of reasonsOfConnection(context, use, connector, led)) refuse(code);

  const judged = bindingsOf(use).map(({ credentialId, authScheme }) => {
    const credential = credentialOf(credentialId);
    const one = typeof credential === 'string' ? notApplied(credential) : judge(context, use, site, credential, authScheme);
    for (const reason of one.reasons) refuse(reason, credentialId);
    return one;
  });
  const all = judged.flatMap(({ applied }) => applied ?? []);
  // A signature covers what the others add.
  const applied = [
    ...all.filter(({ application }) => !isSignature(application)),
    ...all.filter(({ application }) => isSignature(application)),
  ];
  const steps = applied.flatMap(({ credential, application }) =>
    placesOf(application, kinds.of(credential), credential).map((place) => ({ credentialId: credential.id, ...place })),
  );
  const taken = new Set<string>();
  for (const step of steps) {
    const key = placeKey(step.location, step.name);
    if (taken.has(key)) refuse('SAME_PLACE', step.credentialId);
    taken.add(key);
  }

  const signs = applied.map(({ application }) => signedBody(application));
  return {
    connection,
    purpose,
    steps,
    problems,
    baseUrl: site && new URL(site.baseUrl),
    allowedHosts: site && judged.every(({ allowsHost }) => allowsHost) ? [site.host] : [],
    credentials: applied.map(({ credential }) => credential),
    signs: signs.includes('BODY') ? 'BODY' : signs.includes('BODY_DIGEST') ? 'BODY_DIGEST' : 'NOTHING',
    permits: (url) => site !== null && problems.length === 0 && isAt(site, url) && judged.every(({ allows }) => allows(url)),
    resolve: (pathAndQuery) => site && below(site, pathAndQuery),
    urlOf: (text) => (isRelative(text) ? site && below(site, text) : (givenUrl(text) ?? null)),
    applied,
  };
}

/** What is wrong with a connection itself, or with where it leads. */
function reasonsOfConnection(
  { policy }: Pick<DomainContext, 'policy'>,
  use: PlannedUse,
  connector: ConnectorRecord | null,
  led: Site | NotUsable,
): NotUsable[] {
  const isForRequests = use.purpose === 'ACTION' || use.purpose === 'TRIGGER';
  const reasons: NotUsable[] = [];
  if (use.connection.isAltered || connector?.isAltered) reasons.push('ALTERED');
  if (!isForRequests) reasons.push('PURPOSE_WITHOUT_REQUESTS');
  if (typeof led === 'string') reasons.push(led);
  else if (led.baseUrl.protocol !== 'https:' && !policy.allowsHttp) reasons.push('HTTPS_REQUIRED');
  const needsCredential =
    connector && connector.authSchemes.length > 0 && !connector.authSchemes.some(({ schemeType }) => schemeType === 'NONE');
  if (isForRequests && bindingsOf(use).length === 0 && needsCredential) reasons.push('CREDENTIAL_REQUIRED');
  return reasons;
}

/** What a plan learns of one credential of its connection. */
interface Judged {
  /** Why it is not used. */
  readonly reasons: readonly NotUsable[];
  /** Null if it is not known how it is applied. */
  readonly applied: Applied | null;
  /** Whether it may be sent to the host of the connection. A token endpoint does not count. */
  readonly allowsHost: boolean;
  /** Whether its kind is for this URL. */
  allows(url: URL): boolean;
}

function notApplied(reason: NotUsable): Judged {
  return { reasons: [reason], applied: null, allowsHost: true, allows: () => false };
}

function judge(
  { kinds, now }: Pick<DomainContext, 'kinds' | 'now'>,
  { connection, purpose }: PlannedUse,
  site: Site | null,
  credential: CredentialRecord,
  scheme: AuthScheme | null,
): Judged {
  if (credential.isAltered) return notApplied('ALTERED');
  if (kinds.misfits(credential).length > 0) return notApplied('OUTDATED');
  const kind = kinds.of(credential);
  const reasons: NotUsable[] = forbiddenUses(credential, { purpose, host: site?.host ?? null, narrowedTo: connection.allowedDomain });
  const application = applicationOf(kind.apply, credential.settings, scheme);
  const { only } = kind.apply ?? {};
  const fill = (template: Template) =>
    filled(template, ({ name, default: fallback }) => textOf(credential.settings[name]) ?? fallback ?? '');
  if (only && site && application !== 'NOT_FOR_REQUESTS' && !coversSite(only, site.host, fill)) reasons.push('DOMAIN');
  const allowsHost = !reasons.includes('DOMAIN');
  if (typeof application === 'string') return { ...notApplied(application), reasons: [...reasons, application], allowsHost };
  if (application.put === 'TOKEN') {
    if (needsAuthorization(credential, now())) reasons.push('NEEDS_AUTHORIZATION');
    reasons.push(...tokenProblems({ credential, scheme }, now()));
  }
  if (application.put === 'AWS_SIGNATURE' && site && fill(application.parts.service) === '' && !tellsAwsService(site.host))
    reasons.push('SERVICE_REQUIRED');
  const isMissing = secretsIn(application, kind).some(({ name, isRequired }) => isRequired && !credential.secrets[name]);
  if (isMissing) reasons.push('SECRET_MISSING');
  const urls = only?.urls;
  return {
    reasons,
    applied: { credential, scheme, application },
    allowsHost,
    allows: (url) => urls === undefined || matchesUrl(fill(urls), url),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Header names have no case (RFC 9110, section 5.1). */
function placeKey(location: Place['location'], name: string | null): string {
  return `${location} ${location === 'HEADER' ? name?.toLowerCase() : (name ?? '')}`;
}

/**
 * Opens the secrets of a plan for one request, and obtains the tokens that it needs.
 * @throws CredentialNotUsableError when the plan has problems, or does not permit the URL, or the caller sets what a credential sets
 * @throws UnreadableSecretError, AlteredRecordError, ServiceFailedError
 */
export function prepareRequest(context: DomainContext, plan: UsePlan, request: RequestToSign): Promise<PreparedRequest> {
  return prepareWith(context, plan as OwnPlan, request, (source) => accessToken(context, source));
}

/** Returns the token of a credential of the application `TOKEN`. */
type TokenOf = (source: { readonly credential: CredentialRecord; readonly scheme: AuthScheme | null }) => Promise<AccessToken>;

async function prepareWith(context: DomainContext, plan: OwnPlan, request: RequestToSign, tokenOf: TokenOf): Promise<PreparedRequest> {
  permittedUrl(plan, request);
  const tokens = new Map<string, AccessToken>();
  const opened: OpenedCredential[] = [];
  for (const { credential, scheme, application } of plan.applied) {
    const secrets: Record<string, Redacted> = {};
    const token = application.put === 'TOKEN' ? await tokenOf({ credential, scheme }) : null;
    if (token) tokens.set(credential.id, token);
    else for (const name of secretNames(context, credential, application)) secrets[name] = await openOne(context, plan, credential, name);
    const { id, settings, facts } = credential;
    opened.push({ id, application, settings, facts, secrets, token });
  }
  const prepared = await applyCredentials(request, opened, { now: context.now(), keyFiles: context.keyFiles() });
  return {
    ...prepared,
    plan,
    async renew() {
      const others = new Map<string, AccessToken>();
      for (const { credential, scheme } of plan.applied) {
        const refused = tokens.get(credential.id);
        const other = refused && (await anotherAccessToken(context, { credential, scheme }, refused.token));
        if (other) others.set(credential.id, other);
      }
      if (others.size === 0) return null;
      return prepareWith(context, plan, request, async ({ credential }) => others.get(credential.id) ?? tokens.get(credential.id)!);
    },
  };
}

function secretNames({ kinds }: DomainContext, credential: CredentialRecord, application: Application): string[] {
  const names = secretsIn(application, kinds.of(credential)).map(({ name }) => name);
  return [...new Set(names)].filter((name) => credential.secrets[name]);
}

async function openOne(context: DomainContext, { connection }: UsePlan, credential: CredentialRecord, name: string): Promise<Redacted> {
  try {
    return await context.store.secrets.open(credential, name);
  } catch (error) {
    if (error instanceof UnreadableSecretError)
      noteFinding(context, { connectionId: connection.id, credentialIds: [credential.id], problem: 'SECRET_UNREADABLE' });
    throw error;
  }
}

/**
 * Returns the URL of a request, if the plan permits the request. `url` is null if what the caller has named is no URL of the connection.
 * @throws CredentialNotUsableError, AlteredRecordError
 */
export function permittedUrl(
  plan: UsePlan,
  { url, headers }: { readonly url: URL | null; readonly headers: RequestToSign['headers'] },
): URL {
  const [problem] = plan.problems;
  if (problem?.code === 'ALTERED') throw new AlteredRecordError(problem.credentialId === null ? 'connection' : 'credential');
  if (problem) throw new CredentialNotUsableError(problem.code, problem.credentialId);
  if (!url || !plan.permits(url)) throw new CredentialNotUsableError('URL_NOT_ALLOWED');
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  const cookies = headers.filter(([name]) => name.toLowerCase() === 'cookie').flatMap(([, value]) => value.split(';'));
  const cookieNames = new Set(cookies.map((pair) => pair.split('=')[0]!.trim()));
  const clashes = plan.steps.filter(({ location, name }) => {
    if (location === 'HEADER') return given.has(name!.toLowerCase());
    if (location === 'QUERY') return url.searchParams.has(name!);
    return location === 'COOKIE' && cookieNames.has(name!);
  });
  const [clash] = clashes;
  if (clash) throw new CredentialNotUsableError('HEADER_NOT_ALLOWED', clash.credentialId);
  // Another host in it could reach another service behind the same address, and signatures cover the one of the URL.
  if (headers.some(([name, value]) => name.toLowerCase() === 'host' && value.toLowerCase() !== url.host))
    throw new CredentialNotUsableError('HEADER_NOT_ALLOWED');
  return url;
}

/**
 * Writes that a request is about to be sent: to the audit log, at once or summed per minute, and for `lastUsedAt`. Call it before the secrets of the
 * plan are opened, and do not open them if this fails. The noun of the context’s action must be `connection`.
 * @throws UnavailableError, UnauthenticatedError as `mutate` does
 */
export async function recordUse(context: MutationContext, plan: UsePlan): Promise<void> {
  const { uses, viewer } = context;
  if (uses.proxied === 'minute') {
    context.auditStream?.requireWorking(viewer.organizationId);
    uses.count(viewer, plan.connection.id);
  } else {
    await mutate(context, async () => plan.connection.id, plan.purpose);
  }
  noteUsed(context, plan);
}

/** Notes when a connection and its credentials were used. Writes nothing yet. */
export function noteUsed({ uses, viewer, now }: DomainContext, { connection, credentials }: UsePlan): void {
  uses.note(
    viewer.organizationId,
    connection.id,
    credentials.map(({ id }) => id),
    now(),
  );
}
