import { createHmac } from 'node:crypto';
import type { NotUsable } from '../../errors.ts';
import type { Signing } from './index.ts';

/** Azure Storage refuses requests whose date is older. */
const ACCEPTED_MS = 15 * 60_000;

/** The headers in the order in which they are signed, except `Date`, for which `x-ms-date` stands. */
const signedHeaders = ['content-encoding', 'content-language', 'content-length', 'content-md5', 'content-type', 'date'];
const conditions = ['if-modified-since', 'if-match', 'if-none-match', 'if-unmodified-since', 'range'];

/**
 * Returns the headers of Azure Storage’s Shared Key, for blobs, queues, files and tables (Microsoft, "Authorize with Shared Key"). The caller chooses
 * the version of the service by `x-ms-version`, which has to be signed.
 */
export function azureHeaders({
  method,
  url,
  headers,
  body,
  parts,
  now,
}: Signing<'account' | 'key'>):
  | { readonly headers: readonly (readonly [string, string])[]; readonly expiresAt: Date }
  | { readonly needs: NotUsable } {
  const date = now.toUTCString();
  const all = new Map([
    ...headers.map(([name, value]) => [name.toLowerCase(), value.trim().replace(/\s+/g, ' ')] as const),
    ['x-ms-date', date],
  ]);
  if (!all.has('x-ms-version')) return { needs: 'HEADER_REQUIRED' };
  if (!all.has('content-length') && body !== 'ABSENT') {
    if (typeof body !== 'object' || !('bytes' in body)) return { needs: 'BODY_REQUIRED' };
    all.set('content-length', String(body.bytes.length));
  }
  if (all.get('content-length') === '0') all.delete('content-length');
  const isTable = /\.table\./.test(url.hostname);
  const line = (name: string) => all.get(name) ?? '';
  const resource = `/${parts.account}${url.pathname}`;
  const text = isTable
    ? [method, line('content-md5'), line('content-type'), date, resource + componentOf(url)].join('\n')
    : [
        method,
        ...signedHeaders.map((name) => (name === 'date' ? '' : line(name))),
        ...conditions.map(line),
        ...[...all]
          .filter(([name]) => name.startsWith('x-ms-'))
          .sort(byName)
          .map(([name, value]) => `${name}:${value}`),
        resource + parametersOf(url),
      ].join('\n');
  const signature = createHmac('sha256', Buffer.from(parts.key, 'base64')).update(text).digest('base64');
  return {
    headers: [
      ['Authorization', `SharedKey ${parts.account}:${signature}`],
      ['x-ms-date', date],
    ],
    expiresAt: new Date(now.getTime() + ACCEPTED_MS),
  };
}

/** Tables sign only this parameter. */
function componentOf(url: URL): string {
  const component = url.searchParams.get('comp');
  return component === null ? '' : `?comp=${component}`;
}

/** All parameters, decoded, by their names in lower case; several values of one name are sorted and separated by commas. */
function parametersOf(url: URL): string {
  const byLowerName = new Map<string, string[]>();
  for (const [name, value] of url.searchParams)
    byLowerName.set(name.toLowerCase(), [...(byLowerName.get(name.toLowerCase()) ?? []), value]);
  return [...byLowerName]
    .sort(byName)
    .map(([name, values]) => `\n${name}:${values.sort().join(',')}`)
    .join('');
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
