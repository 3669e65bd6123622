/**
 * A text with the fields of a credential in it: `{field}`, or `{field|default}` where the default stands for a field that is not set. `{{` stands for a brace.
 */
export type Template = string;

/** How a credential becomes a part of a request. Data, so that the plan can show it without a secret and a request gets the same with it. */
export type Application =
  /** Nothing is added. */
  | { readonly put: 'NOTHING' }
  /** A header, a query parameter or a cookie. */
  | { readonly put: 'HEADER' | 'QUERY' | 'COOKIE'; readonly name: Template; readonly value: Template }
  /** Basic authentication (RFC 7617). */
  | { readonly put: 'BASIC'; readonly user: Template; readonly password: Template }
  /** Replaces a segment of the path that the sender writes as this placeholder. */
  | { readonly put: 'PATH'; readonly placeholder: string; readonly value: Template }
  /** A TLS client certificate. */
  | { readonly put: 'CLIENT_CERTIFICATE'; readonly certificate: Template; readonly privateKey: Template }
  /** An access token that is stored, or obtained and renewed, in the Authorization header. */
  | { readonly put: 'TOKEN' }
  /** An HMAC (RFC 2104) over parts of the request, in this order. */
  | {
      readonly put: 'HMAC';
      readonly in: 'HEADER' | 'QUERY' | 'COOKIE';
      readonly covers: readonly ('BODY' | 'URL')[];
      readonly algorithm: 'SHA1' | 'SHA256' | 'SHA512';
      readonly encoding: 'HEX' | 'BASE64' | 'BASE64URL';
      readonly keyEncoding: 'utf8' | 'base64';
      readonly parts: Readonly<Record<'name' | 'key', Template>>;
    }
  /** A JSON Web Token that is created for the request, in the Authorization header. */
  | { readonly put: 'JWT'; readonly parts: Readonly<Record<'algorithm' | 'key' | 'claims' | 'lifetime' | 'prefix', Template>> }
  /** A signature or a token that one service defines. */
  | {
      readonly put: 'AWS_SIGNATURE';
      readonly parts: Readonly<Record<'accessKeyId' | 'secretAccessKey' | 'sessionToken' | 'region' | 'service', Template>>;
    }
  | { readonly put: 'AZURE_SHARED_KEY'; readonly parts: Readonly<Record<'account' | 'key', Template>> }
  | { readonly put: 'SNOWFLAKE_TOKEN'; readonly parts: Readonly<Record<'host' | 'user' | 'privateKey', Template>> };

/** The types of auth schemes that add something. `NONE` adds nothing, whatever the kind. */
export type FittingScheme =
  | 'BASIC_AUTH'
  | 'CERTIFICATE'
  | 'GOOGLE_SERVICE_ACCOUNT'
  | 'JWT_BEARER'
  | 'SECRET'
  | 'API_KEY'
  | 'HMAC'
  | 'OAUTH2';

/** What a kind gives to the auth schemes that it fits. It fits no other. */
export interface SchemeParts {
  readonly BASIC_AUTH?: { readonly user: Template; readonly password: Template };
  /** The value that the scheme places. */
  readonly API_KEY?: Template;
  /** The value that is sent unchanged: in the kind's own header if it has one, otherwise in Authorization. */
  readonly SECRET?: Template;
  /** The key of the signature. */
  readonly HMAC?: { readonly key: Template; readonly encoding: 'utf8' | 'base64' };
  /** These are applied as without a scheme. */
  readonly CERTIFICATE?: true;
  readonly GOOGLE_SERVICE_ACCOUNT?: true;
  readonly JWT_BEARER?: true;
  readonly OAUTH2?: true;
}

/** Why a kind is applied to no request, or only with an auth scheme. */
export type NotApplied =
  /** The kind says what it is for, such as `a login to a database`. */
  | { readonly not: 'FOR_REQUESTS'; readonly purpose: string }
  /** It is a secret of any form, and only an auth scheme says what it is. */
  | { readonly not: 'WITHOUT_SCHEME' }
  /** It is for requests, but the gateway cannot apply it. */
  | { readonly not: 'SUPPORTED'; readonly purpose: string };

/** One way of application: without an auth scheme, and with each scheme that it fits. */
export interface Way {
  readonly alone: Application | NotApplied;
  readonly schemes?: SchemeParts;
}

/** Which requests a credential of a kind is for, besides what each credential allows. */
export interface OnlyFor {
  /** Host names, or `*.` and a host name. */
  readonly hosts?: readonly Template[];
  /** A prefix of URLs, or a pattern in which each asterisk stands for any characters of the path. */
  readonly urls?: Template;
  /** The host of a URL. */
  readonly hostOf?: Template;
}

/** How credentials of a kind are applied to requests: in one way, or in one for each value of a setting. */
export type Apply = (Way | { readonly by: string; readonly each: Readonly<Record<string, Way>> }) & { readonly only?: OnlyFor };

const PLACE = /\{\{|\{([A-Za-z][A-Za-z0-9]*)(?:\|([^{}]*))?\}/g;

/** A field that a template names, and what stands for it if it is not set. */
export interface TemplateField {
  readonly name: string;
  readonly default: string | undefined;
}

/** Returns the fields in a template. */
export function fieldsOf(template: Template): TemplateField[] {
  return [...template.matchAll(PLACE)].flatMap(([, name, fallback]) => (name === undefined ? [] : [{ name, default: fallback }]));
}

/** Returns a template that is this text, whatever it contains. */
export function literal(text: string): Template {
  return text.replaceAll('{', '{{');
}

/** Replaces the fields in a template. */
export function filled(template: Template, textOf: (field: TemplateField) => string): string {
  return template.replace(PLACE, (_, name: string | undefined, fallback: string | undefined) =>
    name === undefined ? '{' : textOf({ name, default: fallback }),
  );
}

/** Returns all templates of an application, by the names of its parts. */
export function templatesOf(application: Application): Readonly<Record<string, Template>> {
  if ('parts' in application) return application.parts;
  const { put: _, placeholder: __, ...templates } = application as { put: string; placeholder?: string } & Record<string, Template>;
  return templates;
}

/** Returns the way of application that the settings of a credential choose. Undefined if the setting has no value. */
export function wayOf(apply: Apply, settings: Readonly<Record<string, unknown>>): Way | undefined {
  return 'by' in apply ? apply.each[String(settings[apply.by])] : apply;
}

/** Returns every template of a kind, to check it: the ways, the auth schemes, and what it is restricted to. */
export function allTemplates(apply: Apply): Template[] {
  const ways = 'by' in apply ? Object.values(apply.each) : [apply];
  const ofWays = ways.flatMap(({ alone, schemes = {} }) => [
    ...('put' in alone ? Object.values(templatesOf(alone)) : []),
    ...Object.values(schemes).flatMap((parts: true | Template | Readonly<Record<string, string>>) => {
      if (parts === true) return [];
      return typeof parts === 'string' ? [parts] : Object.values(parts);
    }),
  ]);
  const { hosts = [], urls, hostOf } = apply.only ?? {};
  return [...ofWays, ...hosts, ...(urls === undefined ? [] : [urls]), ...(hostOf === undefined ? [] : [hostOf])];
}
