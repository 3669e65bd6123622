// A service to try the gateway with, on this machine and without TLS: a help desk with an API and an OAuth 2.0 server. README.md uses it.
import { once } from 'node:events';
import { createServer } from 'node:http';

// The library warns that it keeps everything in memory.
console.info = console.warn = () => {};
const { Provider } = await import('oidc-provider');

const { PORT = '8080', PUBLIC_URL = 'http://127.0.0.1:4000' } = process.env;
const server = createServer().listen(Number(PORT), '127.0.0.1');
await once(server, 'listening');
// A name, because credentials are limited to names.
const issuer = `http://localhost:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'example-client',
      client_secret: 'example-client-secret',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${PUBLIC_URL}/oauth/callback`],
      response_types: ['code'],
    },
  ],
  scopes: ['openid', 'offline_access', 'tickets:read'],
  cookies: { keys: ['a key for the cookies of an example'] },
  findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
  features: { devInteractions: { enabled: false }, revocation: { enabled: true }, introspection: { enabled: true } },
  issueRefreshToken: async (_context, _client, code) => code.scopes.has('offline_access'),
  ttl: {
    AccessToken: 3_600,
    AuthorizationCode: 600,
    Grant: 86_400,
    IdToken: 3_600,
    Interaction: 3_600,
    RefreshToken: 86_400,
    Session: 86_400,
  },
});

const page = (
  title,
  content,
) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><link rel="icon" href="data:,">
<body style="font: 17px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 12vh auto 0"><h1>${title}</h1>${content}</body></html>`;

const consentPage = page(
  'Help desk',
  `<p>The gateway asks for access to your tickets.</p>
<form method="post"><button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button></form>`,
);

/** The page of consent. It signs in everybody as Ada. */
async function askForConsent(request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') return response.setHeader('content-type', 'text/html; charset=utf-8').end(consentPage);
  let form = '';
  for await (const part of request) form += part;
  if (new URLSearchParams(form).get('answer') !== 'allow') {
    return provider.interactionFinished(request, response, { error: 'access_denied' });
  }
  const grant = new provider.Grant({ accountId: 'ada', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const login = prompt.name === 'login' && { login: { accountId: 'ada' } };
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { ...login, consent }, { mergeWithLastSubmission: true });
}

/** A page of a front end, to which the browser comes back. It shows the parameters as JSON, for the variables of `completeAuthorization`. */
function land(request, response) {
  const parameters = Object.fromEntries(new URL(request.url, issuer).searchParams);
  const text = JSON.stringify(parameters, null, 2).replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
  response.setHeader('content-type', 'text/html; charset=utf-8').end(page('Back in the application', `<pre>${text}</pre>`));
}

/** The API. It accepts a key, and the tokens of the OAuth 2.0 server. */
async function answerTickets(request, response) {
  const [, token] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  const isAllowed = request.headers['x-api-key'] === 'example-key' || (token && (await provider.AccessToken.find(token)));
  response.writeHead(isAllowed ? 200 : 401, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(isAllowed ? { tickets: ['The printer is on fire'] } : { error: 'no valid key or token' })}\n`);
}

const oauth = provider.callback();
const paths = { '/interaction/': askForConsent, '/landed': land, '/api/tickets': answerTickets };
server.on('request', async (request, response) => {
  const [, answer = oauth] = Object.entries(paths).find(([path]) => request.url.startsWith(path)) ?? [];
  try {
    await answer(request, response);
  } catch {
    response.writeHead(400).end();
  }
});
process.stdout.write(`The example service is at ${issuer}\n`);
