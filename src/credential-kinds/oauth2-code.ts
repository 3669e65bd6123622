import { secret } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const oauth2Code = defineCredentialKind({
  kind: 'oauth2Code',
  typeName: 'OAuth2CodeCredential',
  storedAs: 'oauth2Token',
  description:
    'An authorization code, to be exchanged for tokens. It is refused, because the gateway does not exchange codes yet: exchange it at the token endpoint, and store the tokens as an OAuth2TokenCredential.',
  // A stored code would be neither exchanged nor shown, and it is valid for a few minutes only.
  refusal:
    'cannot be stored, because the gateway does not exchange codes: exchange it at the token endpoint, and store the tokens as oauth2Token',
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
