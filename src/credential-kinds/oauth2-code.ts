import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Code = defineCredentialKind({
  kind: 'oauth2Code',
  typeName: 'OAuth2CodeCredential',
  storedAs: 'oauth2Token',
  description:
    'An authorization code that an application of yours has received. The gateway exchanges it at once, and stores the tokens as an OAuth2TokenCredential; the code is never stored. Only for a new credential of a connection, whose `authScheme` in the same entry is an `OAUTH2` scheme with a client. For an authorization that `startAuthorization` has started, call `completeAuthorization` instead.',
  // Whoever exchanges it takes it out before. A stored code would be neither exchanged nor shown, and it is valid for a few minutes only.
  refusal:
    'cannot be stored: it is exchanged only for a new credential of a connection, whose authScheme in the same entry is an OAUTH2 scheme with a client',
  apply: { alone: { not: 'FOR_REQUESTS', purpose: 'the exchange for tokens, which are stored as oauth2Token' } },
  fields: {
    code: secret({
      description: 'The code from the redirect. Valid for one exchange and usually for a few minutes.',
      maxLength: 8192,
      format: 'oauthText',
      example: 'SplxlOBeZQQYbYS6WxSbIA',
      invalidExample: '',
    }),
    state: secret({
      description: 'The state from the redirect, equal to that in the authorization request.',
      maxLength: 4096,
      format: 'oauthText',
      example: 'af0ifjsldkj',
      invalidExample: '',
    }),
    redirectUrl: secret({
      description:
        'The redirect URL of the authorization request. Required by the token endpoint if the authorization request contained one.',
      maxLength: 2048,
      format: 'url',
      optional: true,
      example: 'https://app.example.com/callback',
      invalidExample: 'callback',
    }),
    additionalParams: secret({
      description: 'Additional parameters of the token request, URL-encoded, such as a PKCE code_verifier.',
      maxLength: 4096,
      format: 'urlEncoded',
      optional: true,
      example: 'code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
      invalidExample: 'code_verifier',
    }),
  },
});
