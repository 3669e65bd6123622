import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type Server } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigError, type TlsFiles } from '../config/index.ts';
import { type PrivateFileOptions, readPrivateFile } from './private-files.ts';

/** A certificate with its chain and its private key, that fit together. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** What a TLS server needs in addition. TLS 1.0 and 1.1 are deprecated (RFC 8996). */
export const tlsOptions = { minVersion: 'TLSv1.2' } as const;

/** How often the files are read. Events of file systems miss changes of mounted volumes and of links, so the content is compared. */
const CHECK_MILLISECONDS = 2_000;

/**
 * Reads the pair. Returns `current` if that is what the files contain.
 * @throws ConfigError naming the setting, when a file cannot be read, is incomplete, or the two do not fit together
 */
export function readTlsPair({ certificate, key: keyFile }: TlsFiles, options?: PrivateFileOptions, current?: TlsPair): TlsPair {
  const cert = readCertificate(certificate);
  const read = (key: string) => (current?.cert === cert && current.key === key ? current : fitting(cert, key));
  return readPrivateFile(keyFile, 'TLS_KEY_FILE', read, options);
}

function readCertificate(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`TLS_CERT_FILE cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
  }
}

function fitting(cert: string, key: string): TlsPair {
  const privateKey = parsed(() => createPrivateKey(key), encryptedOr('TLS_KEY_FILE does not contain a private key in PEM', key));
  // OpenSSL ignores what is cut off at the end of a chain.
  const blocks = cert.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  const isComplete = blocks.length > 0 && blocks.length === cert.split('-----BEGIN').length - 1;
  const wrong = 'TLS_CERT_FILE does not contain certificates in PEM, or is incomplete';
  if (!isComplete) throw new ConfigError(`${wrong}.`);
  const [first] = parsed(() => blocks.map((block) => new X509Certificate(block)), wrong);
  if (!first!.checkPrivateKey(privateKey))
    throw new ConfigError('TLS_KEY_FILE does not contain the key of the first certificate in TLS_CERT_FILE.');
  // Rejects what OpenSSL does not accept for a server, such as keys of too few bits.
  parsed(() => createSecureContext({ ...tlsOptions, cert, key }), 'TLS_CERT_FILE and TLS_KEY_FILE are not accepted by OpenSSL');
  return { cert, key };
}

function encryptedOr(message: string, key: string): string {
  return /ENCRYPTED/.test(key) ? 'TLS_KEY_FILE is encrypted; passphrases are not supported' : message;
}

function parsed<T>(parse: () => T, message: string): T {
  try {
    return parse();
  } catch {
    // What the library says could contain parts of the file.
    throw new ConfigError(`${message}.`);
  }
}

/** Returns why clients will reject a pair, as a sentence; undefined if nothing is known. The first certificate counts. */
export function tlsWarning({ cert }: TlsPair, now: Date): string | undefined {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (new Date(validTo) < now) return 'The certificate in TLS_CERT_FILE has expired.';
  return new Date(validFrom) > now ? 'The certificate in TLS_CERT_FILE is not valid yet.' : undefined;
}

/**
 * Loads the pair again when its files change, and until then keeps the one that is in use. New connections use the new pair. While one of the
 * files is already new and the other one is not, or a file is half written, the two do not fit, and nothing happens. Returns a function that ends it.
 */
export function reloadTls(
  server: Pick<Server, 'setSecureContext'>,
  files: TlsFiles,
  loaded: TlsPair,
  logger: Logger,
  options?: PrivateFileOptions,
): () => void {
  let current = loaded;
  let refused = '';
  const timer = setInterval(() => {
    try {
      const pair = readTlsPair(files, options, current);
      refused = '';
      if (pair === current) return;
      server.setSecureContext({ ...tlsOptions, ...pair });
      current = pair;
      logger.info({ validTo: new X509Certificate(pair.cert).validTo }, 'the TLS certificate was loaded again');
      const warning = tlsWarning(pair, new Date());
      if (warning) logger.warn(warning);
    } catch (error) {
      const reason = error instanceof ConfigError ? error.message : (error as Error).name;
      if (reason !== refused) logger.warn({ reason }, 'the TLS certificate could not be loaded again; the last one is still used');
      refused = reason;
    }
  }, CHECK_MILLISECONDS);
  timer.unref();
  return () => clearInterval(timer);
}
