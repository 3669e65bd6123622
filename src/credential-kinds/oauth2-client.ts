import { flag, secret, text, textList } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Client = defineCredentialKind({
  kind: 'oauth2Client',
  typeName: 'OAuth2ClientCredential',
  description:
    'The client id of your application at an OAuth 2.0 server (RFC 6749, section 2.3), and its secret if it has one. For the tokens of a user, use OAuth2TokenCredential.',
  apply: { alone: { put: 'TOKEN' }, schemes: { OAUTH2: true } },
  destinations: ['tokenUrl'],
  fields: {
    clientId: text({
      searchable: true,
      description: 'Not secret: the authorization request in the browser contains it.',
      maxLength: 1024,
      format: 'oauthText',
      example: 'gateway-client',
      invalidExample: '',
    }),
    clientSecret: secret({
      description: 'The client secret. Not set for a public client (RFC 6749, section 2.1), such as one that uses PKCE only.',
      maxLength: 4096,
      format: 'oauthText',
      optional: true,
      example: 'Zk3-client-9fQ',
      invalidExample: '',
    }),
    authorizeUrl: text({
      description: 'The authorization endpoint, where users give consent. Null for the client credentials grant, which has no user.',
      maxLength: 2048,
      format: 'url',
      optional: true,
      example: 'https://auth.example.com/authorize',
      invalidExample: '/authorize',
    }),
    tokenUrl: text({
      description:
        'The token endpoint, where codes and refresh tokens are exchanged for access tokens. A new value must also replace or clear the secrets.',
      maxLength: 2048,
      format: 'serviceUrl',
      example: 'https://auth.example.com/token',
      invalidExample: 'javascript:alert(1)',
    }),
    scopes: textList({
      description: 'The scopes to request with the client credentials grant. For grants with a user, the connector defines the scopes.',
      maxItems: 100,
      maxLength: 512,
      format: 'oauthScope',
      optional: true,
      example: ['tickets:read', 'users:read'],
      invalidExample: ['tickets:read users:read'],
    }),
    additionalParams: secret({
      description: 'Additional parameters of the token request, URL-encoded. Sealed because some services put passwords there.',
      maxLength: 4096,
      format: 'urlEncoded',
      optional: true,
      example: 'audience=https%3A%2F%2Fapi.example.com',
      invalidExample: 'audience and more',
    }),
    mtlsEnabled: flag({
      description:
        'Whether the client also presents a certificate to the token endpoint (RFC 8705). The connector defines which one. Null means false.',
      optional: true,
      example: false,
      invalidExample: 'no',
    }),
  },
});
