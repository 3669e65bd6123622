import { type Application, type Apply, fieldsOf, filled, literal, type Template, templatesOf, wayOf } from '../credential-kinds/apply.ts';
import type { CredentialKind } from '../credential-kinds/define.ts';
import type { NotUsable } from '../errors.ts';
import { REDACTED } from '../redacted.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { OAuth2Settings } from './auth-scheme.ts';

/** Where a step adds something. */
export type StepLocation = 'HEADER' | 'QUERY' | 'COOKIE' | 'PATH' | 'CLIENT_CERTIFICATE';

/** What is added to a request, and where. */
export interface Place {
  readonly location: StepLocation;
  /** Null for a client certificate and a path. */
  readonly name: string | null;
  /** With every secret replaced. */
  readonly value: string;
}

/** The settings of the schemes that place something themselves. */
interface SchemeSettings {
  readonly name: string;
  readonly in: 'HEADER' | 'QUERY' | 'COOKIE';
  readonly algorithm: 'SHA1' | 'SHA256' | 'SHA512';
  readonly digestInputs: readonly ('BODY' | 'URL')[];
  readonly encoding: 'HEX' | 'BASE64' | 'BASE64URL' | null;
}

/** Returns how a credential is applied: kind and scheme decide. Or the reason why it is not. */
export function applicationOf(
  apply: Apply | undefined,
  settings: Readonly<Record<string, unknown>>,
  scheme: Pick<AuthScheme, 'schemeType' | 'settings'> | null,
): Application | NotUsable {
  if (!apply) return 'NOT_FOR_REQUESTS';
  const way = wayOf(apply, settings);
  if (!way) return 'NOT_SUPPORTED';
  const { alone, schemes = {} } = way;
  const asItIs = 'put' in alone ? alone : reasons[alone.not];
  if (!scheme) return asItIs;
  const isFor = (type: keyof typeof schemes): Application | NotUsable => (schemes[type] ? asItIs : 'KIND_DOES_NOT_FIT');
  const placed = scheme.settings as unknown as SchemeSettings;
  switch (scheme.schemeType) {
    case 'NONE':
      return asItIs === alone && alone.put === 'NOTHING' ? alone : 'KIND_DOES_NOT_FIT';
    case 'BASIC_AUTH':
      return schemes.BASIC_AUTH ? { put: 'BASIC', ...schemes.BASIC_AUTH } : 'KIND_DOES_NOT_FIT';
    case 'API_KEY':
      if (schemes.API_KEY === undefined) return 'KIND_DOES_NOT_FIT';
      return { put: placed.in, name: literal(placed.name), value: schemes.API_KEY };
    case 'SECRET': {
      if (schemes.SECRET === undefined) return 'KIND_DOES_NOT_FIT';
      const own = 'put' in alone && (alone.put === 'HEADER' || alone.put === 'QUERY') ? alone : null;
      return { put: own?.put ?? 'HEADER', name: own?.name ?? 'Authorization', value: schemes.SECRET };
    }
    case 'HMAC': {
      if (!schemes.HMAC) return 'KIND_DOES_NOT_FIT';
      const { key, encoding: keyEncoding } = schemes.HMAC;
      const { name, in: place, algorithm, digestInputs: covers, encoding } = placed;
      return { put: 'HMAC', in: place, covers, algorithm, encoding: encoding ?? 'HEX', keyEncoding, parts: { name: literal(name), key } };
    }
    case 'OAUTH2': {
      if (!schemes.OAUTH2) return 'KIND_DOES_NOT_FIT';
      const { mtlsEnabled, mtlsCredentialId } = scheme.settings as Partial<OAuth2Settings>;
      if (mtlsEnabled && !mtlsCredentialId) return 'SCHEME_INCOMPLETE';
      return 'put' in alone ? alone : { put: 'TOKEN' };
    }
    case 'CERTIFICATE':
    case 'GOOGLE_SERVICE_ACCOUNT':
    case 'JWT_BEARER':
      return isFor(scheme.schemeType);
    case 'CUSTOM_FUNCTION':
      return 'not' in alone && alone.not === 'SUPPORTED' ? 'NOT_SUPPORTED' : 'KIND_DOES_NOT_FIT';
    // OAUTH1: no kind has its four secrets.
    default:
      return 'NOT_SUPPORTED';
  }
}

const reasons = {
  FOR_REQUESTS: 'NOT_FOR_REQUESTS',
  WITHOUT_SCHEME: 'SCHEME_REQUIRED',
  SUPPORTED: 'NOT_SUPPORTED',
} as const satisfies Record<string, NotUsable>;

/** Returns the secrets that an application needs: those in its templates, or the required ones of the kind if a token is obtained with them. */
export function secretsIn(application: Application, { fields }: CredentialKind): { readonly name: string; readonly isRequired: boolean }[] {
  const named = Object.values(templatesOf(application)).flatMap(fieldsOf);
  const own = named
    .filter(({ name }) => fields[name]?.secret)
    .map(({ name, default: fallback }) => ({ name, isRequired: fallback === undefined }));
  if (application.put !== 'TOKEN') return own;
  return Object.entries(fields).flatMap(([name, { secret, optional }]) => (secret && !optional ? [{ name, isRequired: true }] : []));
}

/** Whether a signature covers the body, and what must be known of it. */
export function signedBody(application: Application): 'NOTHING' | 'BODY_DIGEST' | 'BODY' {
  if (application.put === 'AWS_SIGNATURE') return 'BODY_DIGEST';
  if (application.put === 'AZURE_SHARED_KEY') return 'BODY';
  return application.put === 'HMAC' && application.covers.includes('BODY') ? 'BODY' : 'NOTHING';
}

/** Whether it covers what others add, and so comes after them. */
export function isSignature(application: Application): boolean {
  return application.put === 'HMAC' || application.put === 'AWS_SIGNATURE' || application.put === 'AZURE_SHARED_KEY';
}

/** Returns what an application adds, with every secret replaced. */
export function placesOf(application: Application, { fields }: CredentialKind, credential: CredentialRecord): Place[] {
  const { settings, secrets } = credential;
  const show = (template: Template) =>
    filled(template, ({ name, default: fallback }) => {
      if (fields[name]?.secret) return secrets[name] || fallback === undefined ? REDACTED : fallback;
      const value = settings[name];
      return typeof value === 'string' ? value : (fallback ?? '');
    });
  const header = (name: string, value = REDACTED): Place => ({ location: 'HEADER', name, value });
  switch (application.put) {
    case 'NOTHING':
      return [];
    case 'HEADER':
    case 'QUERY':
    case 'COOKIE':
      return [{ location: application.put, name: show(application.name), value: show(application.value) }];
    case 'BASIC':
      return [header('Authorization', `Basic ${REDACTED}`)];
    case 'PATH':
      return [{ location: 'PATH', name: null, value: show(application.value) }];
    case 'CLIENT_CERTIFICATE':
      return [{ location: 'CLIENT_CERTIFICATE', name: null, value: REDACTED }];
    case 'TOKEN':
      return [header('Authorization', `${typeof settings.tokenType === 'string' ? settings.tokenType : 'Bearer'} ${REDACTED}`)];
    case 'JWT':
      return [header('Authorization', `${show(application.parts.prefix)} ${REDACTED}`)];
    case 'SNOWFLAKE_TOKEN':
      return [header('Authorization', `Bearer ${REDACTED}`), header('X-Snowflake-Authorization-Token-Type', 'KEYPAIR_JWT')];
    case 'HMAC':
      return [{ location: application.in, name: show(application.parts.name), value: REDACTED }];
    case 'AWS_SIGNATURE':
      return [
        header('Authorization', `AWS4-HMAC-SHA256 ${REDACTED}`),
        header('X-Amz-Date'),
        header('X-Amz-Content-Sha256'),
        ...(show(application.parts.sessionToken) === '' ? [] : [header('X-Amz-Security-Token')]),
      ];
    case 'AZURE_SHARED_KEY':
      return [header('Authorization', `SharedKey ${show(application.parts.account)}:${REDACTED}`), header('x-ms-date')];
  }
}
