import { createHash } from 'node:crypto';
import { type Application, filled, type Template } from '../../credential-kinds/apply.ts';
import { CredentialNotUsableError, type NotUsable } from '../../errors.ts';
import type { KeyFiles } from '../../key-files/index.ts';
import { Redacted } from '../../redacted.ts';
import type { ClientCertificate } from '../outbound/index.ts';
import { awsHeaders, tellsAwsService } from './aws.ts';
import { azureHeaders } from './azure.ts';
import { hmacOf } from './hmac.ts';
import { createdToken, snowflakeToken } from './jwt.ts';

export { tellsAwsService };

/** The body of a request, for signatures. `ABSENT` stands for no body, or an empty one. */
export type BodyToSign = { readonly bytes: Uint8Array } | { readonly sha256: string } | 'ABSENT' | 'NOT_READ';

/** A request without what credentials add. */
export interface RequestToSign {
  readonly method: string;
  readonly url: URL;
  /** A name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: BodyToSign;
}

/** A credential whose secrets are open, and how it is applied. */
export interface OpenedCredential {
  readonly id: string;
  readonly application: Application;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly facts: Readonly<Record<string, unknown>>;
  /** Those that the application needs and that are set. */
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** Of the application `TOKEN`. */
  readonly token: { readonly token: Redacted; readonly tokenType: string; readonly expiresAt: Date | null } | null;
}

/** What credentials add to a request. */
export interface AppliedCredentials {
  readonly url: Redacted;
  /** Each replaces any header of its name. */
  readonly headers: readonly (readonly [name: string, value: Redacted])[];
  readonly query: readonly (readonly [name: string, value: Redacted])[];
  readonly clientCertificate: ClientCertificate | null;
  /** Every value that was added, and every secret in it. An answer can repeat them in any form. */
  readonly added: readonly Redacted[];
  /** The earliest time from which on one of them may be refused. */
  readonly expiresAt: Date | null;
  /** The URL and all headers in plaintext, for sending. */
  toSend(): { readonly url: URL; readonly headers: readonly (readonly [name: string, value: string])[] };
}

/** What the functions of single signatures get: a request as it stands, and the parts of the application in plaintext. */
export interface Signing<Parts extends string> {
  readonly method: string;
  readonly url: URL;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: BodyToSign;
  readonly parts: Readonly<Record<Parts, string>>;
  readonly now: Date;
}

/** A header value without anything that ends or splits a header (RFC 9110, section 5.5). */
const headerValue = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;
/** RFC 6265, section 4.1.1. */
const cookieValue = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/;

/**
 * Applies credentials to a request, in their order: each signature covers what was added before it. Sends nothing.
 * @throws CredentialNotUsableError when a secret does not fit into its place, or a signature needs what the request does not have
 */
export async function applyCredentials(
  request: RequestToSign,
  credentials: readonly OpenedCredential[],
  { now, keyFiles }: { readonly now: Date; readonly keyFiles: KeyFiles },
): Promise<AppliedCredentials> {
  const url = new URL(request.url);
  const headers: [string, string][] = [];
  const query: [string, string][] = [];
  const cookies: string[] = [];
  const times: Date[] = [];
  const added = new Set<string>();
  let clientCertificate: ClientCertificate | null = null;

  for (const { id, application, settings, facts, secrets, token } of credentials) {
    const refuse = (reason: NotUsable): never => {
      throw new CredentialNotUsableError(reason, id);
    };
    const fill = (template: Template, isSent = true) =>
      filled(template, ({ name, default: fallback }) => {
        const secret = secrets[name];
        const text = secret && plainOf(secret);
        if (text !== undefined && isSent) added.add(text);
        if (text !== undefined) return text;
        const setting = settings[name];
        if (typeof setting === 'string') return setting;
        return fallback ?? refuse('SECRET_MISSING');
      });
    const put = (place: 'HEADER' | 'QUERY' | 'COOKIE', name: string, value: string) => {
      added.add(value);
      if (place === 'QUERY') {
        if (/\p{Surrogate}/u.test(value)) refuse('SECRET_NOT_SUITABLE');
        // The rest of the query stays as it was written.
        const pair = `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
        url.search = url.search === '' ? pair : `${url.search}&${pair}`;
        query.push([name, value]);
      } else if (place === 'COOKIE') {
        if (!cookieValue.test(value)) refuse('SECRET_NOT_SUITABLE');
        cookies.push(`${name}=${value}`);
      } else {
        if (!headerValue.test(value)) refuse('SECRET_NOT_SUITABLE');
        headers.push([name, value]);
      }
    };
    const signing = <P extends string>(parts: Readonly<Record<P, Template>>): Signing<P> => ({
      ...request,
      url,
      headers: [...request.headers, ...headers],
      parts: Object.fromEntries(Object.entries<Template>(parts).map(([name, template]) => [name, fill(template, false)])) as Record<
        P,
        string
      >,
      now,
    });

    switch (application.put) {
      case 'NOTHING':
        break;
      case 'HEADER':
      case 'QUERY':
      case 'COOKIE':
        put(application.put, fill(application.name), fill(application.value));
        break;
      case 'BASIC':
        put(
          'HEADER',
          'Authorization',
          `Basic ${Buffer.from(`${fill(application.user)}:${fill(application.password)}`).toString('base64')}`,
        );
        break;
      case 'PATH': {
        const segments = url.pathname.split('/');
        const place = segments.indexOf(application.placeholder);
        const value = fill(application.value);
        if (place < 0) refuse('PLACEHOLDER_REQUIRED');
        if (/\p{Surrogate}/u.test(value) || /^\.{0,2}$/.test(value)) refuse('SECRET_NOT_SUITABLE');
        added.add(value);
        url.pathname = segments.with(place, encodeURIComponent(value)).join('/');
        break;
      }
      case 'CLIENT_CERTIFICATE':
        clientCertificate = {
          certificates: fill(application.certificate, false),
          privateKey: new Redacted(fill(application.privateKey, false)),
        };
        break;
      case 'TOKEN':
        if (!token) throw new Error('A plan without its token was applied.');
        put('HEADER', 'Authorization', `${token.tokenType} ${plainOf(token.token)}`);
        if (token.expiresAt) times.push(token.expiresAt);
        break;
      case 'JWT': {
        const signed = signing(application.parts);
        const jwt = (await createdToken(signed.parts, now, keyFiles)) ?? refuse('SECRET_NOT_SUITABLE');
        put('HEADER', 'Authorization', `${signed.parts.prefix} ${jwt.token}`);
        times.push(jwt.expiresAt);
        break;
      }
      case 'SNOWFLAKE_TOKEN': {
        const publicKey = typeof facts.publicKey === 'string' ? facts.publicKey : refuse('SECRET_MISSING');
        const jwt = (await snowflakeToken(signing(application.parts).parts, publicKey, now, keyFiles)) ?? refuse('SECRET_NOT_SUITABLE');
        put('HEADER', 'Authorization', `Bearer ${jwt.token}`);
        put('HEADER', 'X-Snowflake-Authorization-Token-Type', 'KEYPAIR_JWT');
        times.push(jwt.expiresAt);
        break;
      }
      case 'HMAC': {
        const { in: place, covers } = application;
        const signed = signing(application.parts);
        const body = covers.includes('BODY') ? bytesOf(request.body) : new Uint8Array();
        put(place, signed.parts.name, hmacOf(application, signed, body ?? refuse('BODY_REQUIRED')));
        break;
      }
      case 'AWS_SIGNATURE': {
        const digest = digestOf(request.body) ?? refuse('BODY_REQUIRED');
        const signed = await awsHeaders(signing(application.parts), digest);
        for (const [name, value] of signed.headers) put('HEADER', name, value);
        times.push(signed.expiresAt);
        break;
      }
      case 'AZURE_SHARED_KEY': {
        const signed = azureHeaders(signing(application.parts));
        if ('needs' in signed) return refuse(signed.needs);
        for (const [name, value] of signed.headers) put('HEADER', name, value);
        times.push(signed.expiresAt);
        break;
      }
      default:
        application satisfies never;
    }
  }

  const given = request.headers.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value);
  if (cookies.length > 0) headers.push(['Cookie', [...given, ...cookies].join('; ')]);
  const set = new Set(headers.map(([name]) => name.toLowerCase()));
  const kept = request.headers.filter(([name]) => !set.has(name.toLowerCase()));
  const wrapped = (pairs: readonly [string, string][]) => pairs.map(([name, value]) => [name, new Redacted(value)] as const);
  return {
    url: new Redacted(url.href),
    headers: wrapped(headers),
    query: wrapped(query),
    clientCertificate,
    added: [...added].map((value) => new Redacted(value)),
    expiresAt: times.length === 0 ? null : new Date(Math.min(...times.map(Number))),
    toSend: () => ({ url: new URL(url), headers: [...kept, ...headers] }),
  };
}

/** The only place of this folder where a plaintext is taken out of its wrapping. */
function plainOf(secret: Redacted): string {
  return secret.expose();
}

function bytesOf(body: BodyToSign): Uint8Array | undefined {
  if (body === 'ABSENT') return new Uint8Array();
  return typeof body === 'object' && 'bytes' in body ? body.bytes : undefined;
}

/** The SHA-256 of a body, in hexadecimal. */
function digestOf(body: BodyToSign): string | undefined {
  if (typeof body === 'object' && 'sha256' in body) return body.sha256.toLowerCase();
  const bytes = bytesOf(body);
  return bytes && createHash('sha256').update(bytes).digest('hex');
}
