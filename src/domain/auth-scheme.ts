import type { Issue } from '../errors.ts';
import { type Path, ValidationError } from '../errors.ts';
import {
  type Choices,
  choice,
  choiceList,
  flag,
  type InputOf,
  idOf,
  object,
  objectList,
  objectType,
  text,
  textList,
  type ValuesOf,
} from '../fields/field.ts';
import type { AuthScheme } from '../store/connector.ts';
import { nameText, urlText } from './fields.ts';

/** The types of auth scheme, and how each authenticates. */
export const authSchemeType = {
  enumName: 'AuthSchemeType',
  description: 'How a service wants to be authenticated to.',
  values: {
    NONE: 'No authentication.',
    BASIC_AUTH: 'User name and password in the Authorization header.',
    CERTIFICATE: 'A TLS client certificate.',
    CUSTOM_FUNCTION: 'A registered function adds what the request needs.',
    GOOGLE_SERVICE_ACCOUNT: 'A token for a Google service account.',
    JWT_BEARER: 'A JWT minted for the request.',
    OAUTH1: 'An OAuth 1.0a signature.',
    SECRET: 'A secret that the service reads as it is.',
    API_KEY: 'A key in a header, the query string or a cookie; settings in `apiKey`.',
    HMAC: 'A signature over the request; settings in `hmac`.',
    OAUTH2: 'An OAuth 2.0 access token; settings in `oauth2`.',
  },
} as const satisfies Choices;

const location = {
  enumName: 'AuthSchemeLocation',
  description: 'Where a key or a signature goes.',
  values: { HEADER: 'A request header.', QUERY: 'The query string; it ends up in logs.', COOKIE: 'A cookie.' },
} as const satisfies Choices;

const hmacAlgorithm = {
  enumName: 'HmacAlgorithm',
  description: 'The hash of an HMAC.',
  values: { SHA1: 'SHA-1, deprecated.', SHA256: 'SHA-256.', SHA512: 'SHA-512.' },
} as const satisfies Choices;

const hmacDigestInput = {
  enumName: 'HmacDigestInput',
  description: 'What a signature covers.',
  values: { BODY: 'The request’s body.', URL: 'The request’s URL.' },
} as const satisfies Choices;

const hmacEncoding = {
  enumName: 'HmacEncoding',
  description: 'How a signature is encoded.',
  values: { HEX: 'Hexadecimal.', BASE64: 'Base64.', BASE64URL: 'Base64url without padding.' },
} as const satisfies Choices;

const oauth2Grant = {
  enumName: 'OAuth2Grant',
  description: 'How an access token is obtained (RFC 6749).',
  values: {
    AUTHORIZATION_CODE: 'The end user consents in a browser.',
    CLIENT_CREDENTIALS: 'The client asks for itself.',
    PASSWORD: 'With the end user’s password; legacy.',
  },
} as const satisfies Choices;

/** How much a message about an auth scheme matters. */
export const severity = {
  enumName: 'Severity',
  description: 'How much a message matters.',
  values: { INFO: 'Good to know.', WARNING: 'It works, and could be safer.', ERROR: 'It will not work like this.' },
} as const satisfies Choices;

/** Where on a request a key or a signature goes. */
const placed = {
  name: text({ ...nameText, description: 'The name of the header, parameter or cookie.' }),
  in: choice({ choices: location, description: 'Where it goes.' }),
};

const apiKeySettings = objectType({
  typeName: 'ApiKeyAuthScheme',
  inputName: 'ApiKeyAuthSchemeInput',
  description: 'A key sent with each request.',
  inputDescription: 'Settings of `API_KEY`.',
  fields: placed,
});

const hmacSettings = objectType({
  typeName: 'HmacAuthScheme',
  inputName: 'HmacAuthSchemeInput',
  description: 'A signature sent with each request.',
  inputDescription: 'Settings of `HMAC`.',
  fields: {
    ...placed,
    algorithm: choice({ choices: hmacAlgorithm, description: 'The hash.' }),
    digestInputs: choiceList({ choices: hmacDigestInput, minItems: 1, maxItems: 2, description: 'What is signed, in this order.' }),
    encoding: choice({ choices: hmacEncoding, optional: true, default: 'HEX', description: 'How the signature is encoded.' }),
  },
});

const namedText = objectType({
  typeName: 'NamedText',
  inputName: 'NamedTextInput',
  description: 'A name, and what goes with it.',
  fields: {
    name: text({ ...nameText, description: 'The name.' }),
    value: text({
      description: 'The value of a parameter, or the description of a scope. Null if not set.',
      optional: true,
      minLength: 0,
      maxLength: 2_048,
      format: 'any',
    }),
  },
});
const parameters = { optional: true, default: [], maxItems: 20 } as const;

const oauth2Settings = objectType({
  typeName: 'OAuth2AuthScheme',
  inputName: 'OAuth2AuthSchemeInput',
  description: 'OAuth 2.0. Client id and secret are a credential of their own, named here.',
  inputDescription: 'Settings of `OAUTH2`. No secret goes here: client id and secret are a credential of their own.',
  fields: {
    grant: choice({ choices: oauth2Grant, description: 'How a token is obtained.' }),
    authorizeUrl: text({
      ...urlText,
      optional: true,
      description: 'Where the end user consents. Needed for the authorization code grant. Null if not set.',
    }),
    tokenUrl: text({ ...urlText, description: 'The token endpoint.' }),
    scopes: objectList(namedText, {
      optional: true,
      default: [],
      maxItems: 100,
      description: 'The scopes that the service knows; `value` is the description.',
    }),
    defaultScopes: textList({
      optional: true,
      default: [],
      maxItems: 100,
      ...nameText,
      description: 'The scopes that are requested by default.',
    }),
    additionalAuthorizeParams: objectList(namedText, { ...parameters, description: 'Added to the authorize URL.' }),
    additionalTokenParams: objectList(namedText, { ...parameters, description: 'Sent to the token endpoint. Not for secrets.' }),
    mtlsEnabled: flag({ optional: true, default: false, description: 'Whether the token endpoint wants a client certificate.' }),
    mtlsCredentialId: idOf('credential', { optional: true, description: 'The certificate credential for that. Null if not set.' }),
    clientCredentialId: idOf('credential', {
      optional: true,
      description: 'The `oauth2Client` credential that holds client id and secret. Null if not set.',
    }),
  },
});

export type OAuth2Settings = ValuesOf<typeof oauth2Settings.fields>;

/** The types that have settings, and the member of the input that holds them. */
export const settingsOf = {
  API_KEY: { member: 'apiKey', of: apiKeySettings },
  HMAC: { member: 'hmac', of: hmacSettings },
  OAUTH2: { member: 'oauth2', of: oauth2Settings },
} as const;
type TypeWithSettings = keyof typeof settingsOf;

/** What every scheme says, whatever its type. */
export const commonSchemeFields = {
  id: text({ maxLength: 64, format: 'any', description: 'Chosen by the client, unique within its list. Not a global id.' }),
  schemeType: choice({ choices: authSchemeType, description: 'The type.' }),
  description: text({
    optional: true,
    minLength: 0,
    maxLength: 1_024,
    format: 'any',
    description: 'Tells apart several schemes of one type. Null if not set.',
  }),
};

const ignored = { optional: true, description: 'Ignored.' } as const;
const ignoredMessage = objectType({
  typeName: 'ValidationMessage',
  inputName: 'ValidationMessageInput',
  description: 'What was read as `validationMessages`, so that a scheme can be sent back as it was read. Ignored.',
  fields: {
    severity: choice({ ...ignored, choices: severity }),
    text: text({ ...ignored, minLength: 0, maxLength: 2_048, format: 'any' }),
    details: textList({ ...ignored, maxItems: 100, maxLength: 2_048 }),
  },
});

/** An auth scheme as a caller writes it: the type, and its settings under the member for that type. */
export const authScheme = objectType({
  typeName: 'AuthScheme',
  inputName: 'AuthSchemeInput',
  description: 'How to authenticate: a type and, where the type has any, its settings under the member of that name.',
  fields: {
    ...commonSchemeFields,
    apiKey: object(apiKeySettings, { optional: true, description: 'For `API_KEY`.' }),
    hmac: object(hmacSettings, { optional: true, description: 'For `HMAC`.' }),
    oauth2: object(oauth2Settings, { optional: true, description: 'For `OAUTH2`.' }),
    validationMessages: objectList(ignoredMessage, {
      optional: true,
      maxItems: 100,
      description: 'Ignored: the server makes its own.',
    }),
  },
  check(values) {
    const own = values.schemeType in settingsOf ? settingsOf[values.schemeType as TypeWithSettings].member : undefined;
    const issues: Issue[] = [];
    for (const { member } of Object.values(settingsOf)) {
      const isGiven = values[member] !== null;
      if (isGiven && member !== own) issues.push({ path: [member], message: `does not belong to the scheme type ${values.schemeType}` });
      if (!isGiven && member === own) issues.push({ path: [member], message: `is required for ${values.schemeType}` });
    }
    return issues;
  },
});

export type AuthSchemeInput = InputOf<typeof authScheme.fields>;

/** An auth scheme as it is stored, from values that are checked. */
export function toStored({ id, schemeType, description, ...settings }: ValuesOf<typeof authScheme.fields>): AuthScheme {
  const own = schemeType in settingsOf ? settings[settingsOf[schemeType as TypeWithSettings].member] : null;
  return { id, schemeType, description, settings: { ...own } };
}

/** @throws ValidationError when two schemes of one list have the same id; `null` stands for an entry without a scheme */
export function refuseSameIds(schemes: readonly (AuthScheme | null)[], pathOf: (index: number) => Path): void {
  const seen = new Set<string>();
  schemes.forEach((scheme, index) => {
    if (scheme && seen.has(scheme.id)) {
      throw new ValidationError([{ path: pathOf(index), message: 'must be unique among the schemes of its list' }]);
    }
    if (scheme) seen.add(scheme.id);
  });
}

/** The credentials that a scheme names. */
export function credentialsOf(scheme: AuthScheme | null): string[] {
  const { mtlsCredentialId, clientCredentialId } = (scheme?.settings ?? {}) as Partial<OAuth2Settings>;
  return [mtlsCredentialId, clientCredentialId].filter((id) => id != null);
}

/** The scheme, naming the credential no more. */
export function withoutCredential<S extends AuthScheme | null>(scheme: S, credentialId: string): S {
  if (!scheme) return scheme;
  const settings = Object.fromEntries(
    Object.entries(scheme.settings).map(([name, value]) => [name, value === credentialId ? null : value]),
  );
  return { ...scheme, settings };
}

export interface ValidationMessage {
  readonly severity: keyof typeof severity.values;
  readonly text: string;
  readonly details: readonly string[];
}

/** What the server finds worth saying about a scheme that it accepted. */
export function validationMessages(scheme: AuthScheme): ValidationMessage[] {
  const messages: ValidationMessage[] = [];
  if (scheme.schemeType === 'API_KEY' && scheme.settings.in === 'QUERY') {
    messages.push({ severity: 'WARNING', text: 'A key in the query string ends up in access logs; prefer a header.', details: [] });
  }
  if (scheme.schemeType === 'HMAC' && scheme.settings.algorithm === 'SHA1') {
    messages.push({ severity: 'WARNING', text: 'SHA-1 is deprecated; use SHA-256 where the service allows it.', details: [] });
  }
  if (scheme.schemeType === 'OAUTH2') messages.push(...oauth2Messages(scheme.settings as OAuth2Settings));
  return messages;
}

function oauth2Messages({ grant, authorizeUrl, tokenUrl, scopes, defaultScopes, mtlsEnabled, mtlsCredentialId }: OAuth2Settings) {
  const messages: ValidationMessage[] = [];
  if (grant === 'AUTHORIZATION_CODE' && !authorizeUrl) {
    messages.push({ severity: 'ERROR', text: 'The authorization code grant needs an authorizeUrl.', details: [] });
  }
  const plain = [authorizeUrl, tokenUrl].filter((url) => url?.startsWith('http:'));
  if (plain.length > 0) messages.push({ severity: 'WARNING', text: 'Tokens travel unencrypted: use https.', details: [] });
  const unknown = defaultScopes.filter((name) => !scopes.some((scope) => scope.name === name));
  if (unknown.length > 0) messages.push({ severity: 'WARNING', text: 'Default scopes that are not among the scopes.', details: unknown });
  if (mtlsEnabled && !mtlsCredentialId)
    messages.push({ severity: 'ERROR', text: 'Mutual TLS needs a certificate credential.', details: [] });
  return messages;
}
