import type { TypedDocumentString } from './gql/graphql.ts';

const endpoint = `${import.meta.env.VITE_GATEWAY_URL}/graphql`;

/** What no form can repair: no session, no network, a limit. Its message is for the user. */
export class GatewayError extends Error {}

async function ask(url: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, options);
  } catch {
    throw new GatewayError('The gateway cannot be reached. Try again later.');
  }
}

let token: Promise<string> | undefined;
let renewAt = 0;

/** The token of the signed-in user, from the page’s own back end. It is only in memory, and is renewed a minute before it ends. */
function currentToken(): Promise<string> {
  if (!token || Date.now() >= renewAt) {
    renewAt = Number.POSITIVE_INFINITY;
    token = requestToken();
    token.catch(forgetToken);
  }
  return token;
}

/** The next operation asks for a new token. */
export function forgetToken(): void {
  token = undefined;
}

async function requestToken(): Promise<string> {
  const response = await ask('/api/token', { method: 'POST' });
  if (!response.ok) throw new GatewayError(response.status === 403 ? 'Sign in again.' : 'This does not work now. Try again later.');
  const { token, lifetimeSeconds } = await response.json();
  renewAt = Date.now() + (lifetimeSeconds - 60) * 1000;
  return token;
}

async function send(body: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${await currentToken()}` };
  return ask(endpoint, { method: 'POST', headers, body, credentials: 'omit' });
}

/**
 * Runs an operation. It is a plain `fetch`, because client libraries and their caches keep the variables of mutations, and here these contain
 * the secrets that the user types.
 *
 * @throws GatewayError when there is no answer, or one with errors, which are those that no form can repair
 */
export async function execute<Result, Variables>(document: TypedDocumentString<Result, Variables>, variables: Variables): Promise<Result> {
  const body = JSON.stringify({ query: document.toString(), variables });
  let response = await send(body);
  if (response.status === 401) {
    // The token was revoked, or the clock of this machine was changed. Nothing was executed.
    forgetToken();
    response = await send(body);
  }
  const { data, errors } = await response.json().catch(() => ({}));
  if (errors || !data) throw new GatewayError(errors?.[0]?.message ?? 'This does not work now. Try again later.');
  return data;
}
