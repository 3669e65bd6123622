import {
  type ApiKeySettings,
  type AuthSchemeInput,
  type authSchemeTypes,
  type HmacSettings,
  type OAuth2Settings,
  type ValidationMessage,
  validationMessages,
} from '../domain/auth-scheme.ts';
import type { AuthScheme } from '../domain/reading.ts';
import type { Path } from '../errors.ts';
import type { Builder } from './builder.ts';
import { decodeId, encodeId } from './global-id.ts';

const typeDescriptions: Record<(typeof authSchemeTypes)[number], string> = {
  NONE: 'No authentication.',
  BASIC_AUTH: 'User name and password in the Authorization header.',
  CERTIFICATE: 'A TLS client certificate.',
  CUSTOM_FUNCTION: 'A registered function puts on the request what it needs.',
  GOOGLE_SERVICE_ACCOUNT: 'A token for a Google service account.',
  JWT_BEARER: 'A JWT minted for the request.',
  OAUTH1: 'An OAuth 1.0a signature.',
  SECRET: 'A secret that the service reads as it is.',
  API_KEY: 'A key in a header, the query string or a cookie; settings in `apiKey`.',
  HMAC: 'A signature over the request; settings in `hmac`.',
  OAUTH2: 'An OAuth 2.0 access token; settings in `oauth2`.',
};

export type AuthSchemeKit = ReturnType<typeof addAuthScheme>;

/** Adds `AuthScheme`, one type for each that has settings, and their inputs. */
export function addAuthScheme(builder: Builder) {
  const schemeType = builder.enumType('AuthSchemeType', {
    description: 'How a service wants to be authenticated to.',
    values: described(typeDescriptions),
  });
  const location = builder.enumType('AuthSchemeLocation', {
    description: 'Where a key or a signature goes.',
    values: described({ HEADER: 'A request header.', QUERY: 'The query string; it ends up in logs.', COOKIE: 'A cookie.' }),
  });
  const algorithm = builder.enumType('HmacAlgorithm', {
    description: 'The hash of an HMAC.',
    values: described({ SHA1: 'SHA-1, deprecated.', SHA256: 'SHA-256.', SHA512: 'SHA-512.' }),
  });
  const digestInput = builder.enumType('HmacDigestInput', {
    description: 'What a signature covers.',
    values: described({ BODY: 'The request’s body.', URL: 'The request’s URL.' }),
  });
  const encoding = builder.enumType('HmacEncoding', {
    description: 'How a signature is written.',
    values: described({ HEX: 'Hexadecimal.', BASE64: 'Base64.', BASE64URL: 'Base64url without padding.' }),
  });
  const grant = builder.enumType('OAuth2Grant', {
    description: 'How an access token is got (RFC 6749).',
    values: described({
      AUTHORIZATION_CODE: 'The end user consents in a browser.',
      CLIENT_CREDENTIALS: 'The client asks for itself.',
      PASSWORD: 'With the end user’s password; legacy.',
    }),
  });
  const severity = builder.enumType('Severity', {
    description: 'How much a message matters.',
    values: described({ INFO: 'Good to know.', WARNING: 'It works, and could be safer.', ERROR: 'It will not work like this.' }),
  });

  const message = builder.objectRef<ValidationMessage>('ValidationMessage').implement({
    description: 'What the server finds worth saying about an auth scheme that it accepted.',
    fields: (t) => ({
      severity: t.expose('severity', { type: severity, description: 'How much it matters.' }),
      text: t.exposeString('text', { description: 'For people.' }),
      details: t.stringList({ description: 'More, such as the names concerned.', resolve: ({ details }) => details }),
    }),
  });
  const scheme = builder.interfaceRef<AuthScheme>('AuthScheme').implement({
    description: 'How a connector, or one credential of a connection, authenticates. Configuration only: it holds no secret.',
    resolveType: ({ schemeType }) => typeNames[schemeType] ?? 'PlainAuthScheme',
    fields: (t) => ({
      id: t.exposeString('id', { description: 'Given by the client; unique within its list, and not a global id.' }),
      schemeType: t.field({ type: schemeType, description: 'The type.', resolve: (source) => source.schemeType as 'NONE' }),
      description: t.exposeString('description', { nullable: true, description: 'Tells apart several schemes of one type.' }),
      validationMessages: t.field({
        type: [message],
        description: 'The server’s own, computed when read. Empty: nothing to say.',
        resolve: validationMessages,
      }),
    }),
  });
  builder.objectRef<AuthScheme>('PlainAuthScheme').implement({ interfaces: [scheme], description: 'A scheme whose type says it all.' });
  builder.objectRef<AuthScheme>('ApiKeyAuthScheme').implement({
    interfaces: [scheme],
    description: 'A key sent with each request.',
    fields: (t) => ({
      name: t.string({
        description: 'The name of the header, parameter or cookie.',
        resolve: ({ settings }) => (settings as ApiKeySettings).name,
      }),
      in: t.field({ type: location, description: 'Where it goes.', resolve: ({ settings }) => (settings as ApiKeySettings).in }),
    }),
  });
  builder.objectRef<AuthScheme>('HmacAuthScheme').implement({
    interfaces: [scheme],
    description: 'A signature sent with each request.',
    fields: (t) => ({
      name: t.string({
        description: 'The name of the header, parameter or cookie.',
        resolve: ({ settings }) => (settings as HmacSettings).name,
      }),
      in: t.field({ type: location, description: 'Where it goes.', resolve: ({ settings }) => (settings as HmacSettings).in }),
      algorithm: t.field({ type: algorithm, description: 'The hash.', resolve: ({ settings }) => (settings as HmacSettings).algorithm }),
      digestInputs: t.field({
        type: [digestInput],
        description: 'What is signed, in this order.',
        resolve: ({ settings }) => (settings as HmacSettings).digestInputs,
      }),
      encoding: t.field({
        type: encoding,
        description: 'How it is written.',
        resolve: ({ settings }) => (settings as HmacSettings).encoding,
      }),
    }),
  });
  const named = builder.objectRef<{ name: string; description?: string | null; value?: string }>('NamedText').implement({
    description: 'A name, and what goes with it.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The name.' }),
      value: t.string({
        nullable: true,
        description: 'The value of a parameter, or the description of a scope. Null: there is none.',
        resolve: ({ value, description }) => value ?? description,
      }),
    }),
  });
  builder.objectRef<AuthScheme>('OAuth2AuthScheme').implement({
    interfaces: [scheme],
    description: 'OAuth 2.0. Client id and secret are a credential of their own, named here.',
    fields: (t) => {
      const oauth2 = ({ settings }: AuthScheme) => settings as OAuth2Settings;
      return {
        grant: t.field({ type: grant, description: 'How a token is got.', resolve: (source) => oauth2(source).grant }),
        authorizeUrl: t.string({
          nullable: true,
          description: 'Where the end user consents. Null: the grant needs no consent.',
          resolve: (source) => oauth2(source).authorizeUrl,
        }),
        tokenUrl: t.string({ description: 'The token endpoint.', resolve: (source) => oauth2(source).tokenUrl }),
        scopes: t.field({ type: [named], description: 'The scopes that the service knows.', resolve: (source) => oauth2(source).scopes }),
        defaultScopes: t.stringList({
          description: 'Those asked for unless told otherwise.',
          resolve: (source) => oauth2(source).defaultScopes,
        }),
        additionalAuthorizeParams: t.field({
          type: [named],
          description: 'Added to the authorize URL.',
          resolve: (source) => oauth2(source).additionalAuthorizeParams,
        }),
        additionalTokenParams: t.field({
          type: [named],
          description: 'Sent to the token endpoint. Not for secrets.',
          resolve: (source) => oauth2(source).additionalTokenParams,
        }),
        mtlsEnabled: t.boolean({
          description: 'Whether the token endpoint wants a client certificate.',
          resolve: (source) => oauth2(source).mtlsEnabled,
        }),
        mtlsCredentialId: t.id({
          nullable: true,
          description: 'The certificate credential for that.',
          resolve: (source) => credentialId(oauth2(source).mtlsCredentialId),
        }),
        clientCredentialId: t.id({
          nullable: true,
          description: 'The `oauth2Client` credential that holds client id and secret.',
          resolve: (source) => credentialId(oauth2(source).clientCredentialId),
        }),
      };
    },
  });

  const parameter = builder.inputType('NamedTextInput', {
    description: 'A name, and what goes with it.',
    fields: (t) => ({
      name: t.string({ required: true, description: 'The name.' }),
      value: t.string({ description: 'The value of a parameter, or the description of a scope.' }),
    }),
  });
  const input = builder.inputType('AuthSchemeInput', {
    description: 'How to authenticate: a type and, where the type has any, its settings under the member of that name.',
    fields: (t) => ({
      id: t.string({ required: true, description: 'Chosen by you, 1 to 64 characters, unique within the list.' }),
      schemeType: t.field({ type: schemeType, required: true, description: 'The type.' }),
      description: t.string({ description: 'Tells apart several schemes of one type. At most 1,024 characters.' }),
      apiKey: t.field({
        description: 'For `API_KEY`.',
        type: builder.inputType('ApiKeyAuthSchemeInput', {
          description: 'Settings of `API_KEY`.',
          fields: (inner) => ({
            name: inner.string({ required: true, description: 'The name of the header, parameter or cookie.' }),
            in: inner.field({ type: location, required: true, description: 'Where it goes.' }),
          }),
        }),
      }),
      hmac: t.field({
        description: 'For `HMAC`.',
        type: builder.inputType('HmacAuthSchemeInput', {
          description: 'Settings of `HMAC`.',
          fields: (inner) => ({
            name: inner.string({ required: true, description: 'The name of the header, parameter or cookie.' }),
            in: inner.field({ type: location, required: true, description: 'Where it goes.' }),
            algorithm: inner.field({ type: algorithm, required: true, description: 'The hash.' }),
            digestInputs: inner.field({ type: [digestInput], required: true, description: 'What is signed, in this order.' }),
            encoding: inner.field({ type: encoding, description: 'How it is written; `HEX` unless told.' }),
          }),
        }),
      }),
      oauth2: t.field({
        description: 'For `OAUTH2`.',
        type: builder.inputType('OAuth2AuthSchemeInput', {
          description: 'Settings of `OAUTH2`. No secret goes here: client id and secret are a credential of their own.',
          fields: (inner) => ({
            grant: inner.field({ type: grant, required: true, description: 'How a token is got.' }),
            authorizeUrl: inner.string({ description: 'Where the end user consents. Needed for the authorization code grant.' }),
            tokenUrl: inner.string({ required: true, description: 'The token endpoint.' }),
            scopes: inner.field({ type: [parameter], description: 'The scopes that the service knows; `value` is the description.' }),
            defaultScopes: inner.stringList({ description: 'Those asked for unless told otherwise.' }),
            additionalAuthorizeParams: inner.field({ type: [parameter], description: 'Added to the authorize URL.' }),
            additionalTokenParams: inner.field({ type: [parameter], description: 'Sent to the token endpoint. Not for secrets.' }),
            mtlsEnabled: inner.boolean({ description: 'Whether the token endpoint wants a client certificate.' }),
            mtlsCredentialId: inner.id({ description: 'The certificate credential for that.' }),
            clientCredentialId: inner.id({ description: 'The `oauth2Client` credential that holds client id and secret.' }),
          }),
        }),
      }),
      validationMessages: t.field({
        type: [
          builder.inputType('ValidationMessageInput', {
            description: 'What was read as `validationMessages`, so that a scheme can be sent back as it was read. Ignored.',
            fields: (inner) => ({
              severity: inner.field({ type: severity, description: 'Ignored.' }),
              text: inner.string({ description: 'Ignored.' }),
              details: inner.stringList({ description: 'Ignored.' }),
            }),
          }),
        ],
        description: 'Ignored: the server makes its own.',
      }),
    }),
  });
  return { scheme, input };
}

const typeNames: Readonly<Record<string, string>> = { API_KEY: 'ApiKeyAuthScheme', HMAC: 'HmacAuthScheme', OAUTH2: 'OAuth2AuthScheme' };

interface SentText {
  readonly name: string;
  readonly value?: string | null;
}
interface SentScheme extends Omit<AuthSchemeInput, 'oauth2'> {
  readonly oauth2?:
    | ({
        readonly scopes?: readonly SentText[] | null;
        readonly additionalAuthorizeParams?: readonly SentText[] | null;
        readonly additionalTokenParams?: readonly SentText[] | null;
        readonly mtlsCredentialId?: string | null;
        readonly clientCredentialId?: string | null;
      } & object)
    | null;
}

/** What the schema's input says, as the domain takes it. @throws ValidationError when an id is malformed */
export function readAuthSchemeInput({ oauth2, ...rest }: SentScheme, path: Path): AuthSchemeInput {
  if (!oauth2) return rest;
  const id = (member: 'mtlsCredentialId' | 'clientCredentialId') =>
    oauth2[member] == null ? null : decodeId('credential', oauth2[member], [...path, 'oauth2', member]);
  const parameters = (sent: readonly SentText[] | null | undefined) => sent?.map(({ name, value }) => ({ name, value: value ?? '' }));
  return {
    ...rest,
    oauth2: {
      ...oauth2,
      scopes: oauth2.scopes?.map(({ name, value }) => ({ name, description: value ?? null })),
      additionalAuthorizeParams: parameters(oauth2.additionalAuthorizeParams),
      additionalTokenParams: parameters(oauth2.additionalTokenParams),
      mtlsCredentialId: id('mtlsCredentialId'),
      clientCredentialId: id('clientCredentialId'),
    },
  };
}

function credentialId(id: string | null): string | null {
  return id && encodeId('credential', id);
}

/** The values of an enum, from a table of their descriptions. */
function described<Value extends string>(descriptions: Record<Value, string>): Record<Value, { description: string }> {
  return Object.fromEntries(Object.entries<string>(descriptions).map(([value, description]) => [value, { description }])) as never;
}
