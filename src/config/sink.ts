import { isAbsolute, resolve } from 'node:path';
import type { AuditSinkTarget } from '../audit-sink.ts';
import { parsedUrl } from '../url.ts';
import { loopbackHosts } from './loopback.ts';

/** Returns the sink that the setting names. Undefined if it names none. */
export function auditSinkOf(text: string, token?: string): AuditSinkTarget | undefined {
  if (text === 'stdout') return { kind: 'stdout' };
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length);
    return isAbsolute(path) ? { kind: 'file', path: resolve(path) } : undefined;
  }
  const url = parsedUrl(text);
  if (!url) return undefined;
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && loopbackHosts.includes(url.hostname));
  return isSafe && url.username === '' && url.password === '' ? { kind: 'http', url, token } : undefined;
}
