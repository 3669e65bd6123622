import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate for a name, signed by itself, and its key. */
export function newTlsPair(name: string, ...more: readonly string[]): { cert: string; key: string } {
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-tls-'));
  try {
    const [cert, key] = ['cert.pem', 'key.pem'].map((file) => join(directory, file)) as [string, string];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`, ...more];
    execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
