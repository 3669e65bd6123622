import {
  authorizationFields,
  completeAuthorization,
  completionFields,
  type StartedAuthorization,
  scopesFor,
  startAuthorization,
} from '../domain/authorization.ts';
import {
  ConflictError,
  InvalidIntegrationError,
  NotFoundError,
  ServiceFailedError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import type { Kit } from './kit/index.ts';

/** Adds the mutations by which end users consent at OAuth 2.0 services. */
export function addAuthorization({ builder, connection, connector, endUser, fields, mutation }: Kit): void {
  const authorization = builder.objectRef<StartedAuthorization>('Authorization').implement({
    description: 'An authorization at an OAuth 2.0 service that was started. A user must open its URL and consent.',
    authScopes: { scope: 'credentials.post' },
    fields: (t) => ({
      authorizationId: t.string({
        description:
          'The id of the authorization, which the callback adds to `returnTo` as `authorization`. Compare it with the one that you started for the session of the browser: it is no secret. Not a global id.',
        resolve: ({ id }) => id,
      }),
      authorizationUrl: t.exposeString('authorizationUrl', {
        description: 'The page of consent at the service. Navigate the browser of the user there. Good once.',
      }),
      redirectUrl: t.exposeString('redirectUrl', { description: 'The redirect URL, which must be registered at the service.' }),
      expiresAt: t.field({
        type: 'DateTime',
        description: 'The user must consent before this time.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
    }),
  });
  mutation('startAuthorization', {
    description:
      'Starts an authorization at the OAuth 2.0 service of a connector (grant `AUTHORIZATION_CODE`), for a new connection or to renew one. State, PKCE and nonce are the gateway’s own. Also requires `connections.post`; to renew, `connections.patch` and `credentials.patch` instead.',
    scope: 'credentials.post',
    inputDescription: 'What to authorize, and where the browser goes afterwards.',
    input: {
      connector: connector.member({ required: true, description: 'The connector.' }),
      endUser: endUser.member({
        description: 'The end user that the new connection belongs to. None by default. To renew, it must be the owner of the connection.',
      }),
      connection: connection.member({
        description:
          'The connection of the connector whose tokens to renew. A new one by default. Other connections that share its credential get the new tokens too, unless who starts the authorization cannot change that credential: then the connection gets a credential of its own.',
      }),
      ...fields.inputFields(authorizationFields),
    },
    alsoNeeds: scopesFor,
    success: { field: 'authorization', type: authorization, description: 'The authorization.' },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, UnreadableSecretError],
    audit: 'connector',
    run: startAuthorization,
  });
  mutation('completeAuthorization', {
    description:
      'Completes an authorization with the code that the service, or the callback of the gateway, has added to the URL of your page. Only who started it can do so, once, and before its `expiresAt`: otherwise, it is `NOT_FOUND`. Creates the connection, or renews it. Also requires `connections.post`; to renew, `connections.patch` and `credentials.patch` instead.',
    scope: 'credentials.post',
    cost: 50,
    inputDescription: 'What came back from the service.',
    input: {
      ...fields.inputFields(completionFields),
      endUser: endUser.member({
        description: 'The end user in whose session the browser came back. If given, the authorization must be for this one.',
      }),
    },
    mayNeed: () => [...scopesFor({}), ...scopesFor({ connection: true })],
    success: { field: 'connection', type: connection.type, description: 'The connection.' },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError],
    audit: 'connection',
    run: completeAuthorization,
  });
}
