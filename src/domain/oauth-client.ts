import { ServiceFailedError, ValidationError } from '../errors.ts';
import { hostOfUrl } from '../fields/hosts.ts';
import type { SignatureAlgorithm } from '../key-files/index.ts';
import type { Signer } from '../key-files/jwt.ts';
import type { Redacted } from '../redacted.ts';
import { type ClientAuthentication, type OAuthClient, TokenRequestError, tokenErrorCodes } from '../services/oauth/index.ts';
import type { ClientCertificate } from '../services/outbound/index.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { parsedUrl } from '../url.ts';
import type { OAuth2Settings } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { forbiddenUse } from './credential-use.ts';
import { shown } from './reading.ts';
import { serviceFailures } from './service-failures.ts';

/** The settings of a stored scheme. Those of earlier versions lack what was added later. */
type StoredSettings = Partial<OAuth2Settings> & Pick<OAuth2Settings, 'grant' | 'tokenUrl'>;

export function oauth2SettingsOf({ settings }: AuthScheme): StoredSettings {
  return settings as unknown as StoredSettings;
}

const misused = {
  SECRET_MISSING: 'has a secret that is still to come; updateCredential sets it',
  DISABLED: 'is not enabled; updateCredential sets enabled',
  PURPOSE: 'does not allow the purpose TOKEN_REQUEST; updateCredential sets its allowedPurposes',
  DOMAIN: 'does not list the host of the endpoint in its allowedDomains; updateCredential sets them',
} as const;

/**
 * Returns the client of an OAuth 2.0 scheme, with its opened secrets. The context must not be limited to an end user, who cannot see the client. `endpoint` is
 * the URL that the client authenticates to, if it is not the token endpoint. Its credentials must allow both hosts: a signed assertion is for the token endpoint,
 * wherever it is sent.
 *
 * @throws ValidationError, with the path of the scheme, when the scheme has no client, or one of its credentials may not be used for this
 * @throws UnreadableSecretError
 */
export async function oauthClientOf(context: DomainContext, scheme: AuthScheme, endpoint: URL | null = null): Promise<OAuthClient> {
  const settings = oauth2SettingsOf(scheme);
  const tokenUrl = parsedUrl(settings.tokenUrl);
  const hosts = [settings.tokenUrl, ...(endpoint ? [endpoint.href] : [])].map(hostOfUrl).filter((host) => host !== undefined);
  if (!tokenUrl || hosts.length < (endpoint ? 2 : 1)) throw refused('has an endpoint without a host name');
  const usable = (id: string | null | undefined, kinds: readonly string[], what: string) =>
    usableCredential(context, id, kinds, what, hosts);
  const { store } = context;

  const client = await usable(settings.clientCredentialId, ['oauth2Client'], 'client (clientCredentialId)');
  const clientSecret = 'clientSecret' in client.secrets ? await store.secrets.open(client, 'clientSecret') : null;
  const clientParameters = 'additionalParams' in client.secrets ? await store.secrets.open(client, 'additionalParams') : null;
  const method = settings.clientAuthentication ?? 'BASIC';
  const needsCertificate = settings.mtlsEnabled === true || method === 'TLS';
  const clientCertificate = needsCertificate
    ? await certificateOf(
        context,
        await usable(settings.mtlsCredentialId, ['certificateKeyPair', 'certificate'], 'client certificate (mtlsCredentialId)'),
      )
    : undefined;
  const privateKey =
    method === 'PRIVATE_KEY_JWT'
      ? await usable(settings.privateKeyCredentialId, ['jwt'], 'private key (privateKeyCredentialId)')
      : undefined;
  return {
    tokenUrl,
    clientId: String(client.settings.clientId),
    authentication: await authenticationOf(context, method, clientSecret, privateKey),
    ...(clientCertificate && { clientCertificate }),
    issuer: settings.issuer ?? null,
    parameters: (settings.additionalTokenParams ?? []).map(({ name, value }) => [name, value ?? ''] as const),
    ...(clientParameters && { sealedParameters: clientParameters }),
  };
}

async function authenticationOf(
  { store, keyFiles }: DomainContext,
  method: OAuth2Settings['clientAuthentication'],
  secret: Redacted | null,
  privateKey: CredentialRecord | undefined,
): Promise<ClientAuthentication> {
  if (method === 'TLS') return { method };
  if (method === 'PRIVATE_KEY_JWT') {
    const algorithm = String(privateKey!.settings.algorithm);
    if (algorithm.startsWith('HS')) throw refused('has a shared secret in the place of the private key (privateKeyCredentialId)');
    const key = await store.secrets.open(privateKey!, 'secret');
    const sign: Signer = (text) => keyFiles().sign(algorithm as SignatureAlgorithm, key, text);
    return { method, sign, keyId: null, algorithm };
  }
  return secret === null || method === 'NONE' ? { method: 'NONE' } : { method, secret };
}

async function certificateOf({ store }: DomainContext, credential: CredentialRecord): Promise<ClientCertificate> {
  const field = credential.kind === 'certificate' ? 'key' : 'privateKey';
  if (!(field in credential.secrets)) throw refused('has a client certificate without a private key (mtlsCredentialId)');
  return { certificates: String(credential.settings.certificate), privateKey: await store.secrets.open(credential, field) };
}

/** @throws ValidationError */
async function usableCredential(
  context: DomainContext,
  id: string | null | undefined,
  kinds: readonly string[],
  what: string,
  hosts: readonly string[],
): Promise<CredentialRecord> {
  const [found] = id ? shown(context, 'credential', await context.store.credentials.byIds([id])) : [];
  if (!found) throw refused(`has no ${what}: it is not set, or the credential does not exist any more`);
  if (!kinds.includes(found.kind)) throw refused(`has a ${what} of another kind than ${kinds.join(' or ')}`);
  const [reason] = hosts.flatMap((host) => forbiddenUse(found, { purpose: 'TOKEN_REQUEST', host, narrowedTo: null }) ?? []);
  if (reason) throw refused(`has a ${what} that ${misused[reason]}`);
  return found;
}

function refused(message: string): ValidationError {
  return new ValidationError([{ path: [], message }]);
}

/** Returns the error that a caller gets for a failed token request. */
export function serviceFailed({ code, outboundFailure }: TokenRequestError): ServiceFailedError {
  if (outboundFailure !== null) return new ServiceFailedError(serviceFailures[outboundFailure]);
  const { failure, isTold } = tokenErrorCodes[code];
  return new ServiceFailedError(failure, isTold ? code : null);
}

/** Runs token requests, and says in the terms of callers why one failed. @throws ServiceFailedError */
export async function asService<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof TokenRequestError ? serviceFailed(error) : error;
  }
}
