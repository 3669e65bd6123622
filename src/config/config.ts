import type { ViewerKind } from '../access/viewer.ts';
import type { AuditSinkTarget } from '../audit-sink.ts';
import type { Limits } from '../limits.ts';
import type { FederationOptions, SchemaNames } from '../schema-names.ts';

/** The absolute paths of a certificate with its chain, and of its private key. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  /** The number of processes that answer requests. */
  readonly workers: number;
  /** The absolute path of the directory of the embedded database and its keys. */
  readonly dataDirectory: string;
  /** If undefined, the embedded database is used. */
  readonly mongodbUri: string | undefined;
  /** The TCP port of the embedded database. If undefined, it does not listen on TCP. */
  readonly embeddedMongodbPort: number | undefined;
  readonly databaseName: string;
  /** The configured master keys; the first one wraps. If undefined, the embedded database uses a master key of its own. */
  readonly masterKeys: { readonly base64: string } | { readonly file: string } | undefined;
  readonly tokens: {
    readonly issuer: string;
    readonly audience: string;
    readonly organizationClaim: string;
    readonly scopeClaim: string;
    /** The required `typ` of a token. If undefined, every type is accepted. */
    readonly typ: string | undefined;
    readonly maxLifetimeSeconds: number;
    /** If undefined, there are development tokens only, and `isDevelopment` is true. */
    readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array } | undefined;
  };
  /** The files of the certificate and its key. If undefined, the gateway serves HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly allowedHosts: readonly string[] | undefined;
  readonly corsOrigins: readonly string[];
  readonly trustedProxies: number;
  /** How the gateway is a subgraph. If undefined, it is none. */
  readonly federation: FederationOptions | undefined;
  readonly names: SchemaNames;
  /** 0 if connections are only checked when somebody asks. */
  readonly checkConnectionsHours: number;
  readonly eventDays: number;
  readonly graphiql: boolean;
  /** Whether the gateway does not start if it cannot serve GraphiQL, because the setting says that it must. */
  readonly isGraphiqlRequired: boolean;
  readonly limits: Limits;
  /** The operator's rules. */
  readonly policy: {
    /** The pattern that the reason of a reveal must match. If null, there is none. */
    readonly revealReasonPattern: RegExp | null;
    /** The longest lifetime of an API key in milliseconds. Null if it is not limited. */
    readonly apiKeyLifetimeMs: number | null;
    /** The URL under which browsers reach the gateway. Null if it is not known. */
    readonly publicUrl: string | null;
    /** The origins to which browsers may be sent after an authorization. */
    readonly returnOrigins: readonly string[];
    readonly tokenRefreshMs: number;
    readonly tokenRefreshAheadMs: number;
  };
  /** The absolute paths of the manifests of trusted documents, and who can run no others. If undefined, there are none. */
  readonly trustedDocuments: { readonly files: readonly string[]; readonly requiredFor: readonly ViewerKind[] } | undefined;
  /** Where the audit log is streamed to. If undefined, nowhere. */
  readonly auditSink: { readonly target: AuditSinkTarget; readonly isRequired: boolean } | undefined;
  /** Requests to third parties. */
  readonly outbound: {
    readonly allowedAddresses: readonly string[];
    readonly allowsHttp: boolean;
    readonly proxy?: URL;
    readonly noProxy: readonly string[];
  };
  /** Whether reads of credentials are logged. */
  readonly logsReads: boolean;
  readonly auditsProxied: 'each' | 'minute';
  readonly logLevel: string;
  /** Whether this is somebody's own machine, see `publicBecause`. Only there are development tokens accepted. */
  readonly isDevelopment: boolean;
}
