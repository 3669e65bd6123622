import type { IncomingMessage, ServerResponse } from 'node:http';

const { VITE_GATEWAY_URL, API_KEY, INTEGRATION, END_USER } = process.env;
const lifetimeSeconds = 600;

const CREATE_TOKEN = `
  mutation CreateToken($input: CreateEndUserTokenInput!) {
    createEndUserToken(input: $input) {
      ... on CreateEndUserTokenSuccess { endUserToken { token } }
      ... on MutationError { code message }
    }
  }
`;

/** Who is signed in. A real back end reads that from its session; this example has one user. */
const signedInUser = (_request: IncomingMessage) => END_USER;

/**
 * Whether the page itself asks. A browser sends the session cookie with what other sites ask, too, and says so in this header
 * (Fetch Metadata Request Headers, section 2.3), if the page has HTTPS or is on this machine.
 */
const isFromThePage = ({ headers }: IncomingMessage) => headers['sec-fetch-site'] === 'same-origin';

/** Asks the gateway for a token of an end user. */
async function createToken(externalId: string): Promise<string> {
  const endUser = { inIntegration: { integration: { name: INTEGRATION }, externalId } };
  const response = await fetch(`${VITE_GATEWAY_URL}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ query: CREATE_TOKEN, variables: { input: { endUser, lifetimeSeconds } } }),
  });
  const { data, errors } = await response.json();
  const token = data?.createEndUserToken.endUserToken?.token;
  if (!token) throw new Error(`The gateway gives no token: ${JSON.stringify(errors ?? data)}`);
  return token;
}

/**
 * The back end of the page: it gives the page a token of the signed-in user. Its API key has the scope `endUserTokens.post` and nothing else,
 * and stays here.
 */
export async function giveToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
  function answer(status: number, body: object) {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body));
  }
  const user = signedInUser(request);
  if (request.method !== 'POST' || !isFromThePage(request) || !user) return answer(403, {});
  try {
    answer(200, { token: await createToken(user), lifetimeSeconds });
  } catch (error) {
    console.error(error);
    answer(502, {});
  }
}
