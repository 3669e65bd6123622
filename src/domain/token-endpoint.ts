import { AlteredRecordError, ValidationError } from '../errors.ts';
import { hostOfUrl } from '../fields/hosts.ts';
import type { OAuthClient } from '../services/oauth/index.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { parsedUrl } from '../url.ts';
import type { DomainContext } from './context.ts';
import { forbiddenUse } from './credential-use.ts';
import { oauth2SettingsOf, oauthClientOf } from './oauth-client.ts';
import { currentScheme, isClientFor } from './token-source.ts';

/** An endpoint of an OAuth 2.0 server to which tokens are sent, and the client that sends them, with its opened secrets. */
export interface TokenEndpoint {
  readonly client: OAuthClient;
  readonly url: URL;
}

/**
 * Returns where the tokens of a credential are revoked or introspected: at the endpoint of the scheme by which they are refreshed now. `NOT_SUPPORTED` if there
 * is no such scheme, or it has no such endpoint; `NOT_ALLOWED` if the credential, or the client, may not be sent there. The context must not be limited: an
 * end user cannot see the client.
 *
 * @throws UnreadableSecretError when a secret of the client cannot be opened
 */
export async function tokenEndpoint(
  context: DomainContext,
  credential: CredentialRecord,
  endpoint: 'revocationUrl' | 'introspectionUrl',
): Promise<TokenEndpoint | 'NOT_SUPPORTED' | 'NOT_ALLOWED'> {
  // Nothing is sent to where an altered record says.
  if (credential.isAltered) return 'NOT_ALLOWED';
  try {
    const scheme = await currentScheme(context, credential, null);
    const { [endpoint]: text = null } = scheme ? oauth2SettingsOf(scheme) : {};
    if (!scheme || text === null) return 'NOT_SUPPORTED';
    const url = parsedUrl(text);
    const host = hostOfUrl(text);
    if (!url || host === undefined) return 'NOT_ALLOWED';
    if (forbiddenUse(credential, { purpose: 'TOKEN_REQUEST', host, narrowedTo: null })) return 'NOT_ALLOWED';
    if (!(await isClientFor(context, credential, scheme))) return 'NOT_ALLOWED';
    return { client: await oauthClientOf(context, scheme, url), url };
  } catch (error) {
    // The scheme has no client, or one that may not be sent there.
    if (error instanceof ValidationError || error instanceof AlteredRecordError) return 'NOT_ALLOWED';
    throw error;
  }
}
