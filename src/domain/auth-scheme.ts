import { z } from 'zod';
import { type Path, ValidationError } from '../errors.ts';
import type { AuthScheme } from '../store/connector.ts';
import { anyText, check, nameText, urlText } from './validation.ts';

/** Where a key or a signature goes on a request. */
export const authSchemeLocations = ['HEADER', 'QUERY', 'COOKIE'] as const;
export const hmacAlgorithms = ['SHA1', 'SHA256', 'SHA512'] as const;
export const hmacDigestInputs = ['BODY', 'URL'] as const;
export const hmacEncodings = ['HEX', 'BASE64', 'BASE64URL'] as const;
export const oauth2GrantTypes = ['AUTHORIZATION_CODE', 'CLIENT_CREDENTIALS', 'PASSWORD'] as const;

const noSettings = z.strictObject({});
const credentialId = z.string().nullable().default(null);
const parameters = z
  .array(z.strictObject({ name: nameText, value: anyText.max(2_048) }))
  .max(20)
  .default([]);

/** The settings of each scheme type. A type whose settings are empty is told apart by its name alone. */
const settingsByType = {
  NONE: noSettings,
  BASIC_AUTH: noSettings,
  CERTIFICATE: noSettings,
  CUSTOM_FUNCTION: noSettings,
  GOOGLE_SERVICE_ACCOUNT: noSettings,
  JWT_BEARER: noSettings,
  OAUTH1: noSettings,
  SECRET: noSettings,
  API_KEY: z.strictObject({ name: nameText, in: z.enum(authSchemeLocations) }),
  HMAC: z.strictObject({
    name: nameText,
    in: z.enum(authSchemeLocations),
    algorithm: z.enum(hmacAlgorithms),
    digestInputs: z.array(z.enum(hmacDigestInputs)).min(1).max(2),
    encoding: z.enum(hmacEncodings).default('HEX'),
  }),
  OAUTH2: z.strictObject({
    authorizeUrl: urlText.nullable().default(null),
    tokenUrl: urlText,
    scopes: z
      .array(z.strictObject({ name: nameText, description: anyText.max(1_024).nullable().default(null) }))
      .max(100)
      .default([]),
    defaultScopes: z.array(nameText).max(100).default([]),
    additionalAuthorizeParams: parameters,
    additionalTokenParams: parameters,
    mtlsEnabled: z.boolean().default(false),
    mtlsCredentialId: credentialId,
    grant: z.enum(oauth2GrantTypes),
    clientCredentialId: credentialId,
  }),
} satisfies Record<string, z.ZodType>;

export type AuthSchemeType = keyof typeof settingsByType;
export const authSchemeTypes = Object.keys(settingsByType) as AuthSchemeType[];

export type ApiKeySettings = z.output<typeof settingsByType.API_KEY>;
export type HmacSettings = z.output<typeof settingsByType.HMAC>;
export type OAuth2Settings = z.output<typeof settingsByType.OAUTH2>;

/** What a caller sends: the type, and the settings under the name of the types that have any. */
export interface AuthSchemeInput {
  readonly id: string;
  readonly schemeType: AuthSchemeType;
  readonly description?: string | null;
  readonly apiKey?: object | null;
  readonly hmac?: object | null;
  readonly oauth2?: object | null;
}

/** The input's member that holds the settings of a type. */
const settingsMember: Partial<Record<AuthSchemeType, 'apiKey' | 'hmac' | 'oauth2'>> = { API_KEY: 'apiKey', HMAC: 'hmac', OAUTH2: 'oauth2' };

const common = z.object({ id: anyText.min(1).max(64), description: anyText.max(1_024).nullable().default(null) });

/** @throws ValidationError */
export function readAuthScheme(input: AuthSchemeInput, path: Path): AuthScheme {
  const member = settingsMember[input.schemeType];
  for (const other of ['apiKey', 'hmac', 'oauth2'] as const) {
    if (input[other] && other !== member) {
      throw new ValidationError([{ path: [...path, other], message: `does not belong to the scheme type ${input.schemeType}` }]);
    }
  }
  if (member && !input[member]) throw new ValidationError([{ path: [...path, member], message: `is required for ${input.schemeType}` }]);
  const settings = check<Record<string, unknown>>(
    settingsByType[input.schemeType],
    withoutNulls((member && input[member]) ?? {}),
    member ? [...path, member] : path,
  );
  return { ...check(common, { id: input.id, description: input.description ?? null }, path), schemeType: input.schemeType, settings };
}

/** Reads a list of schemes, whose ids are unique in it. @throws ValidationError */
export function readAuthSchemes(inputs: readonly AuthSchemeInput[], path: Path): AuthScheme[] {
  if (inputs.length > 20) throw new ValidationError([{ path, message: 'must have at most 20 items' }]);
  const schemes = inputs.map((input, index) => readAuthScheme(input, [...path, index]));
  refuseSameIds(schemes, (index) => [...path, index, 'id']);
  return schemes;
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
  readonly severity: 'INFO' | 'WARNING' | 'ERROR';
  readonly text: string;
  readonly details: readonly string[];
}

/** What the server finds worth saying about a scheme that it accepted. */
export function validationMessages(scheme: AuthScheme): ValidationMessage[] {
  const messages: ValidationMessage[] = [];
  if (scheme.schemeType === 'API_KEY' && (scheme.settings as ApiKeySettings).in === 'QUERY') {
    messages.push({ severity: 'WARNING', text: 'A key in the query string ends up in access logs; prefer a header.', details: [] });
  }
  if (scheme.schemeType === 'HMAC' && (scheme.settings as HmacSettings).algorithm === 'SHA1') {
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

/** GraphQL sends null for "not given"; the schemas' defaults are for undefined. */
function withoutNulls(settings: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null));
}
