import { flag, secret, text, textList } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Client = defineCredentialKind({
  kind: 'oauth2Client',
  typeName: 'OAuth2ClientCredential',
  description:
    'The identity of your application at an OAuth 2.0 server (RFC 6749, section 2.3), not of one of its users: what they consent to comes back as OAuth2TokenCredential.',
  fields: {
    clientId: text({
      description: 'Public by design: browsers see it in the authorization request.',
      maxLength: 1024,
      example: 'gateway-client',
      invalidExample: '',
    }),
    clientSecret: secret({ description: 'The secret of the client.', maxLength: 4096, example: 'Zk3-client-9fQ', invalidExample: '' }),
    authorizeUrl: text({
      description: 'Where users are sent to consent. Null for the client credentials grant, which has no user.',
      maxLength: 2048,
      format: 'url',
      optional: true,
      example: 'https://auth.example.com/authorize',
      invalidExample: '/authorize',
    }),
    tokenUrl: text({
      description: 'Where codes and refresh tokens are exchanged for access tokens.',
      maxLength: 2048,
      format: 'url',
      example: 'https://auth.example.com/token',
      invalidExample: 'javascript:alert(1)',
    }),
    scopes: textList({
      description: 'What is asked for with the client credentials grant. With a user, the connector’s scopes count instead.',
      maxItems: 100,
      maxLength: 512,
      format: 'oauthScope',
      optional: true,
      example: ['tickets:read', 'users:read'],
      invalidExample: ['tickets:read users:read'],
    }),
    additionalParams: secret({
      description: 'More parameters for the token request, URL-encoded. Sealed, for services put passwords there.',
      maxLength: 4096,
      format: 'urlEncoded',
      optional: true,
      example: 'audience=https%3A%2F%2Fapi.example.com',
      invalidExample: 'audience and more',
    }),
    mtlsEnabled: flag({
      description:
        'Whether the client also shows a certificate at the token endpoint (RFC 8705). Which one is for the connector to say. Null means no.',
      optional: true,
      example: false,
      invalidExample: 'no',
    }),
  },
});
