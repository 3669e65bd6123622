import { isLoopback } from './loopback.ts';
import { NOBODY, type Settings, wrongDocumentViewers } from './settings.ts';

/**
 * Returns why the gateway cannot be on somebody's own machine only, as the end of a sentence; undefined if it can. Development tokens give access
 * to everything and are printed, so a gateway that others use must never accept one.
 */
export function publicBecause(read: Settings): string | undefined {
  if (read.NODE_ENV === 'production') return 'in production (NODE_ENV)';
  if (read.MONGODB_URI) return 'with MONGODB_URI';
  if (!isLoopback(read.HOST)) return 'when HOST is not loopback';
  if (read.TRUSTED_PROXIES > 0) return 'behind a proxy (TRUSTED_PROXIES)';
  if (read.ALLOWED_HOSTS?.some((host) => !isLoopback(host))) return 'when ALLOWED_HOSTS has a name that is not loopback';
  return undefined;
}

/** Returns the problems of settings that are valid individually but not together. */
export function combinations(read: Settings): string[] {
  const problems: string[] = [];
  if (read.RATE_LIMIT > 0 && read.RATE_LIMIT < read.MAX_COST) {
    problems.push('RATE_LIMIT must be at least MAX_COST, or 0 for no limit: otherwise some operations within MAX_COST could never run');
  }
  if (read.RATE_LIMIT_ORGANIZATION > 0 && read.RATE_LIMIT_ORGANIZATION < 2 * read.MAX_COST) {
    problems.push('RATE_LIMIT_ORGANIZATION must be at least twice MAX_COST, or 0 for no limit: end users together can spend half of it');
  }
  if (read.COUNT_SECONDS > read.DATABASE_SECONDS) {
    problems.push(
      'COUNT_SECONDS must not be more than DATABASE_SECONDS: otherwise a list that takes long to count would be UNAVAILABLE as a whole',
    );
  }
  if (read.TRUSTED_DOCUMENTS_REQUIRED && !read.TRUSTED_DOCUMENTS) {
    problems.push('TRUSTED_DOCUMENTS is missing: TRUSTED_DOCUMENTS_REQUIRED needs it');
  }
  if (read.TRUSTED_DOCUMENTS_REQUIRED?.includes(NOBODY) && read.TRUSTED_DOCUMENTS_REQUIRED.length > 1) {
    problems.push(`TRUSTED_DOCUMENTS_REQUIRED ${wrongDocumentViewers}`);
  }
  if (!read.AUDIT_SINK && read.AUDIT_SINK_REQUIRED === 'true') problems.push('AUDIT_SINK is missing: AUDIT_SINK_REQUIRED needs one');
  if (read.AUDIT_SINK_TOKEN && !/^https?:/.test(read.AUDIT_SINK ?? '')) {
    problems.push('AUDIT_SINK_TOKEN is set, but AUDIT_SINK is not the URL of a collector');
  }
  if (read.MASTER_KEY && read.MASTER_KEY_FILE) problems.push('MASTER_KEY and MASTER_KEY_FILE are both set: set only one of them');
  if (read.MONGODB_URI && !read.MASTER_KEY && !read.MASTER_KEY_FILE) {
    problems.push(
      'MASTER_KEY (or MASTER_KEY_FILE) is missing: it is required with MONGODB_URI; to create one, run: openssl rand -base64 32',
    );
  }
  if (Boolean(read.TLS_CERT_FILE) !== Boolean(read.TLS_KEY_FILE)) {
    problems.push(`TLS_CERT_FILE and TLS_KEY_FILE belong together: ${read.TLS_CERT_FILE ? 'TLS_KEY_FILE' : 'TLS_CERT_FILE'} is missing`);
  }
  if (read.TOKEN_ORGANIZATION_CLAIM === read.TOKEN_SCOPE_CLAIM) {
    problems.push('TOKEN_ORGANIZATION_CLAIM and TOKEN_SCOPE_CLAIM name the same claim: they must differ');
  }
  if (read.TOKEN_JWKS_URL && read.TOKEN_SECRET) problems.push('TOKEN_JWKS_URL and TOKEN_SECRET are both set: set only one of them');
  if (!read.TOKEN_JWKS_URL && !read.TOKEN_SECRET) {
    const why = publicBecause(read);
    if (why) problems.push(`TOKEN_JWKS_URL (or TOKEN_SECRET) is missing: development tokens are not available ${why}`);
  }
  return problems;
}
