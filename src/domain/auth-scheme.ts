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
import { formats } from '../fields/formats.ts';
import { showsSecretPair } from '../fields/shown-secrets.ts';
import type { AuthScheme } from '../store/connector.ts';
import { nameText, serviceUrlText, urlText } from './fields.ts';

/** The types of auth schemes, and how each authenticates. */
export const authSchemeType = {
  enumName: 'AuthSchemeType',
  description: 'How requests to a service are authenticated.',
  values: {
    NONE: 'No authentication.',
    BASIC_AUTH: 'User name and password in the Authorization header.',
    CERTIFICATE: 'A TLS client certificate.',
    CUSTOM_FUNCTION: 'A registered function authenticates the request. The gateway does not apply it.',
    GOOGLE_SERVICE_ACCOUNT: 'A token for a Google service account.',
    JWT_BEARER: 'A JWT that is created for the request.',
    OAUTH1: 'An OAuth 1.0a signature. The gateway does not apply it.',
    SECRET: 'A secret that is sent unchanged.',
    API_KEY: 'A key in a header, the query string or a cookie; settings in `apiKey`.',
    HMAC: 'A signature over the request; settings in `hmac`.',
    OAUTH2: 'An OAuth 2.0 access token; settings in `oauth2`.',
  },
} as const satisfies Choices;

const location = {
  enumName: 'AuthSchemeLocation',
  description: 'Where a key or a signature is placed.',
  values: { HEADER: 'A request header.', QUERY: 'The query string, which is often recorded in logs.', COOKIE: 'A cookie.' },
} as const satisfies Choices;

const hmacAlgorithm = {
  enumName: 'HmacAlgorithm',
  description: 'The hash function of an HMAC.',
  values: { SHA1: 'SHA-1, deprecated.', SHA256: 'SHA-256.', SHA512: 'SHA-512.' },
} as const satisfies Choices;

const hmacDigestInput = {
  enumName: 'HmacDigestInput',
  description: 'A part of the request that is signed.',
  values: { BODY: 'The request body.', URL: 'The request URL.' },
} as const satisfies Choices;

const hmacEncoding = {
  enumName: 'HmacEncoding',
  description: 'The encoding of a signature.',
  values: { HEX: 'Hexadecimal.', BASE64: 'Base64.', BASE64URL: 'Base64url without padding.' },
} as const satisfies Choices;

const oauth2Grant = {
  enumName: 'OAuth2Grant',
  description: 'How an access token is obtained (RFC 6749).',
  values: {
    AUTHORIZATION_CODE: 'The end user consents in a browser.',
    CLIENT_CREDENTIALS: 'The client requests a token for itself.',
    PASSWORD: 'The client sends the end user’s password. Legacy.',
  },
} as const satisfies Choices;

const clientAuthentication = {
  enumName: 'OAuth2ClientAuthentication',
  description: 'How the client proves to the token endpoint who it is.',
  values: {
    NONE: 'Only the client id is sent: for public clients.',
    BASIC: 'Client id and secret in the Authorization header, encoded as RFC 6749, section 2.3.1, requires.',
    RAW_BASIC: 'The same without that encoding, as many services expect. It makes a difference only if the secret has special characters.',
    POST: 'Client id and secret in the body.',
    PRIVATE_KEY_JWT: 'A JWT signed with the key of `privateKeyCredentialId` (RFC 7523, section 2.2).',
    TLS: 'The client certificate of `mtlsCredentialId` alone (RFC 8705, section 2).',
  },
} as const satisfies Choices;

/** The severity of a message about an auth scheme. */
export const severity = {
  enumName: 'Severity',
  description: 'The severity of a message.',
  values: { INFO: 'A hint.', WARNING: 'It works but could be safer.', ERROR: 'It cannot work.' },
} as const satisfies Choices;

/** The place of a key or a signature in a request. */
const placed = {
  name: text({ ...nameText, description: 'The name of the header, parameter or cookie.' }),
  in: choice({ choices: location, description: 'Where it is placed.' }),
};

/** The name of a header (RFC 9110, section 5.1) or of a cookie (RFC 6265, section 4.1.1) is a token. A parameter's name is encoded. */
function placeIssues({ name, in: place }: Partial<ValuesOf<typeof placed>>): Issue[] {
  if (name === undefined || place === undefined || place === 'QUERY' || formats.httpToken.accepts(name)) return [];
  return [{ path: ['name'], message: `${formats.httpToken.message}, because in is ${place}` }];
}

const apiKeySettings = objectType({
  typeName: 'ApiKeyAuthScheme',
  inputName: 'ApiKeyAuthSchemeInput',
  description: 'A key that is sent with each request.',
  inputDescription: 'The settings of `API_KEY`.',
  fields: placed,
  check: placeIssues,
});

const hmacSettings = objectType({
  typeName: 'HmacAuthScheme',
  inputName: 'HmacAuthSchemeInput',
  description: 'A signature that is sent with each request.',
  inputDescription: 'The settings of `HMAC`.',
  fields: {
    ...placed,
    algorithm: choice({ choices: hmacAlgorithm, description: 'The hash function.' }),
    digestInputs: choiceList({
      choices: hmacDigestInput,
      minItems: 1,
      maxItems: 2,
      description: 'The signed parts of the request, in this order.',
    }),
    encoding: choice({ choices: hmacEncoding, optional: true, default: 'HEX', description: 'The encoding of the signature.' }),
  },
  check: placeIssues,
});

export const namedText = objectType({
  typeName: 'NamedText',
  inputName: 'NamedTextInput',
  description: 'A name and a value.',
  fields: {
    name: text({ ...nameText, description: 'The name.' }),
    value: text({
      description: 'The value of a parameter, or the description of a scope. Null if not set.',
      optional: true,
      minLength: 0,
      maxLength: 2_048,
      format: 'value',
    }),
  },
});
const parameters = { optional: true, default: [], maxItems: 20 } as const;

const oauth2Settings = objectType({
  typeName: 'OAuth2AuthScheme',
  inputName: 'OAuth2AuthSchemeInput',
  description: 'OAuth 2.0. The client id and secret are in a separate credential.',
  inputDescription: 'The settings of `OAUTH2`. They must not contain secrets: the client id and secret are in a separate credential.',
  fields: {
    grant: choice({ choices: oauth2Grant, description: 'How an access token is obtained.' }),
    authorizeUrl: text({
      ...urlText,
      optional: true,
      description: 'The authorization endpoint, where the end user consents. Required for the authorization code grant. Null if not set.',
    }),
    tokenUrl: text({ ...serviceUrlText, description: 'The token endpoint. Its host must have a name: an IP address is refused.' }),
    scopes: objectList(namedText, {
      optional: true,
      default: [],
      maxItems: 100,
      description: 'The scopes of the service. `value` is the description.',
    }),
    defaultScopes: textList({
      optional: true,
      default: [],
      maxItems: 100,
      ...nameText,
      description: 'The scopes that are requested by default.',
    }),
    additionalAuthorizeParams: objectList(namedText, { ...parameters, description: 'Parameters that are added to `authorizeUrl`.' }),
    additionalTokenParams: objectList(namedText, {
      ...parameters,
      description: 'Parameters that are sent to the token endpoint. Not for secrets.',
    }),
    mtlsEnabled: flag({ optional: true, default: false, description: 'Whether the token endpoint requires a client certificate.' }),
    mtlsCredentialId: idOf('credential', { optional: true, description: 'The credential with the client certificate. Null if not set.' }),
    clientCredentialId: idOf('credential', {
      optional: true,
      description: 'The `oauth2Client` credential with the client id and secret. Null if not set.',
    }),
    clientAuthentication: choice({
      choices: clientAuthentication,
      optional: true,
      default: 'BASIC',
      description: 'How the client proves to the token endpoint who it is. A client without a secret sends only its id, whatever is set.',
    }),
    privateKeyCredentialId: idOf('credential', {
      optional: true,
      description: 'The `jwt` credential with the private key for `PRIVATE_KEY_JWT`. Null if not set.',
    }),
    issuer: text({
      ...urlText,
      optional: true,
      description:
        'The issuer identifier of the server (RFC 8414). If set, an authorization response must come from it (RFC 9207), and so must an ID token. Null if not set.',
    }),
    revocationUrl: text({ ...serviceUrlText, optional: true, description: 'The revocation endpoint (RFC 7009). Null if not set.' }),
    introspectionUrl: text({ ...serviceUrlText, optional: true, description: 'The introspection endpoint (RFC 7662). Null if not set.' }),
    disableOfflineAccess: flag({
      optional: true,
      default: false,
      description:
        'Whether the scope `offline_access` is not added to the scopes of an authorization. Without it, many services issue no refresh token; some refuse the scope.',
    }),
  },
  // Everyone who can read the connector or the connection can read them.
  check: ({ additionalAuthorizeParams, additionalTokenParams }) =>
    Object.entries({ additionalAuthorizeParams, additionalTokenParams }).flatMap(([list, parameters]) =>
      (parameters ?? []).flatMap(({ name, value }, index) =>
        name !== undefined && value != null && showsSecretPair(name, value)
          ? [{ path: [list, index, 'value'], message: 'must not be a secret, and its name says that it is one. Put it into a credential' }]
          : [],
      ),
    ),
});

export type OAuth2Settings = ValuesOf<typeof oauth2Settings.fields>;

/** The types that have settings, and the member of the input that holds them. */
export const settingsOf = {
  API_KEY: { member: 'apiKey', of: apiKeySettings },
  HMAC: { member: 'hmac', of: hmacSettings },
  OAUTH2: { member: 'oauth2', of: oauth2Settings },
} as const;
type TypeWithSettings = keyof typeof settingsOf;

/** The fields of schemes of all types. */
export const commonSchemeFields = {
  schemeId: text({
    maxLength: 64,
    format: 'externalId',
    description:
      'An id chosen by the client. Unique within the list. Not a global id. It names this scheme, and does not take over the settings of another one with the same id.',
  }),
  schemeType: choice({ choices: authSchemeType, description: 'The type.' }),
  description: text({
    optional: true,
    minLength: 0,
    maxLength: 1_024,
    format: 'prose',
    description: 'Distinguishes several schemes of one type. Null if not set.',
  }),
};

const ignored = { optional: true, description: 'Ignored.' } as const;
const ignoredMessage = objectType({
  typeName: 'ValidationMessage',
  inputName: 'ValidationMessageInput',
  description: 'Ignored. It exists so that a scheme can be sent back in the form in which it was read.',
  fields: {
    severity: choice({ ...ignored, choices: severity }),
    text: text({ ...ignored, minLength: 0, maxLength: 2_048, format: 'any' }),
    details: textList({ ...ignored, maxItems: 100, maxLength: 2_048 }),
  },
});

/** The input of an auth scheme: the type, and its settings in the member for that type. */
export const authScheme = objectType({
  typeName: 'AuthScheme',
  inputName: 'AuthSchemeInput',
  description: 'How to authenticate: a type and, if the type has settings, the settings in the member for that type.',
  fields: {
    ...commonSchemeFields,
    apiKey: object(apiKeySettings, { optional: true, description: 'For `API_KEY`.' }),
    hmac: object(hmacSettings, { optional: true, description: 'For `HMAC`.' }),
    oauth2: object(oauth2Settings, { optional: true, description: 'For `OAUTH2`.' }),
    validationMessages: objectList(ignoredMessage, {
      optional: true,
      maxItems: 100,
      description: 'Ignored. The server creates the messages.',
    }),
  },
  check(values) {
    // Without a valid type, nothing can be said about the settings.
    if (values.schemeType === undefined) return [];
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

/** Converts checked values to the stored form of an auth scheme. */
export function toStored(values: ValuesOf<typeof authScheme.fields>): AuthScheme {
  const { schemeId: id, schemeType, description, apiKey, hmac, oauth2, validationMessages: _, ...rest } = values;
  // Does not compile while a field is left over that nothing stores.
  rest satisfies Readonly<Record<keyof typeof rest, never>>;
  const settings = { apiKey, hmac, oauth2 };
  const own = schemeType in settingsOf ? settings[settingsOf[schemeType as TypeWithSettings].member] : null;
  return { id, schemeType, description, settings: { ...own } };
}

/** Returns a stored scheme in the form in which callers write it. */
export function schemeInput({ id: schemeId, schemeType, description, settings }: AuthScheme): Record<string, unknown> {
  const own = settingsOf[schemeType as TypeWithSettings];
  return { schemeId, schemeType, description, ...(own && { [own.member]: settings }) };
}

/** @throws ValidationError for each scheme that has the id of an earlier one in the list. No id is that of an entry without a scheme. */
export function refuseSameIds(schemeIds: readonly (string | null | undefined)[], pathOf: (index: number) => Path): void {
  const repeated = schemeIds.map((id, index) => id != null && schemeIds.indexOf(id) < index);
  const issues = repeated.flatMap((is, index) => (is ? [{ path: pathOf(index), message: 'must be unique in the list of schemes' }] : []));
  if (issues.length > 0) throw new ValidationError(issues);
}

/** The settings of a scheme that name credentials. */
export const credentialSettings = [
  'mtlsCredentialId',
  'clientCredentialId',
  'privateKeyCredentialId',
] as const satisfies readonly (keyof OAuth2Settings)[];

/** Returns the ids, or in a file the references, of the credentials that the settings of a scheme name. */
export function credentialsNamedBy(settings: object): string[] {
  const values = settings as Readonly<Record<string, unknown>>;
  return credentialSettings.flatMap((name) => (typeof values[name] === 'string' ? values[name] : []));
}

/** Returns the ids of the credentials that a scheme in an input refers to. */
export function credentialsIn(scheme: AuthSchemeInput | null | undefined): string[] {
  return credentialsNamedBy(scheme?.oauth2 ?? {});
}

/**
 * Refuses to change the type of a scheme that has the id of a stored one: whoever refers to the scheme by its id relies on how it authenticates.
 * @throws ValidationError
 */
export function refuseOtherTypes(
  before: readonly (AuthScheme | null)[],
  schemes: readonly (AuthScheme | null)[],
  pathOf: (index: number) => Path,
): void {
  const types = new Map(before.flatMap((scheme) => (scheme ? [[scheme.id, scheme.schemeType]] : [])));
  const issues = schemes.flatMap((scheme, index) => {
    const type = scheme && types.get(scheme.id);
    return scheme && type !== undefined && type !== null && type !== scheme.schemeType
      ? [{ path: pathOf(index), message: `must stay ${type}: the type of a scheme cannot change. Give another scheme another id` }]
      : [];
  });
  if (issues.length > 0) throw new ValidationError(issues);
}

/** Returns a stored scheme with the defaults of the settings that earlier versions did not know. */
export function withDefaults(scheme: AuthScheme): AuthScheme {
  if (scheme.schemeType !== 'OAUTH2') return scheme;
  return { ...scheme, settings: { clientAuthentication: 'BASIC', disableOfflineAccess: false, ...scheme.settings } };
}

/** Returns the ids of the credentials that a scheme refers to. */
export function credentialsOf(scheme: AuthScheme | null): string[] {
  return credentialsNamedBy(scheme?.settings ?? {});
}

/** Returns the scheme without references to the credential. */
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

/** Returns remarks about a valid scheme. */
export function validationMessages(scheme: AuthScheme): ValidationMessage[] {
  const messages: ValidationMessage[] = [];
  if (scheme.schemeType === 'API_KEY' && scheme.settings.in === 'QUERY') {
    messages.push({
      severity: 'WARNING',
      text: 'Access logs often record the query string, including the key. Use a header instead.',
      details: [],
    });
  }
  if (scheme.schemeType === 'HMAC' && scheme.settings.algorithm === 'SHA1') {
    messages.push({ severity: 'WARNING', text: 'SHA-1 is deprecated. Use SHA-256 if the service supports it.', details: [] });
  }
  if (scheme.schemeType === 'OAUTH2') messages.push(...oauth2Messages(scheme.settings as OAuth2Settings));
  return messages;
}

function oauth2Messages({ grant, authorizeUrl, tokenUrl, scopes, defaultScopes, mtlsEnabled, mtlsCredentialId }: OAuth2Settings) {
  const messages: ValidationMessage[] = [];
  if (grant === 'AUTHORIZATION_CODE' && !authorizeUrl) {
    messages.push({ severity: 'ERROR', text: 'The authorization code grant requires an authorizeUrl.', details: [] });
  }
  const plain = [authorizeUrl, tokenUrl].filter((url) => url?.startsWith('http:'));
  if (plain.length > 0) messages.push({ severity: 'WARNING', text: 'Tokens are sent unencrypted. Use https.', details: [] });
  const unknown = defaultScopes.filter((name) => !scopes.some((scope) => scope.name === name));
  if (unknown.length > 0)
    messages.push({ severity: 'WARNING', text: 'Some default scopes are not in the list of scopes.', details: unknown });
  if (mtlsEnabled && !mtlsCredentialId)
    messages.push({ severity: 'ERROR', text: 'Mutual TLS requires a certificate credential.', details: [] });
  return messages;
}
