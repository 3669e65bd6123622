import { open } from 'node:fs/promises';

/** Where entries and heads of the audit log are streamed to. */
export type AuditSinkTarget =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'file'; readonly path: string }
  /** A collector, with the bearer token that it asks for. */
  | { readonly kind: 'http'; readonly url: URL; readonly token: string | undefined };

export interface AuditSink {
  /** Says which sink it is, so that each has a cursor of its own. Never contains the token. */
  readonly id: string;
  /** Resolves when the sink has taken the lines, each of which ends with a newline. @throws Error when it has not, or perhaps not */
  readonly send: (lines: string) => Promise<void>;
}

/** The time limit of one request to a collector, in milliseconds. */
const REQUEST_MS = 10_000;

export function openAuditSink(target: AuditSinkTarget): AuditSink {
  if (target.kind === 'stdout') return { id: 'stdout', send: toStdout };
  if (target.kind === 'file') return { id: `file:${target.path}`, send: (lines) => append(target.path, lines) };
  const { url, token } = target;
  return { id: `${url.origin}${url.pathname}`, send: (lines) => post(url, token, lines) };
}

function toStdout(lines: string): Promise<void> {
  return new Promise((resolve, reject) => process.stdout.write(lines, (error) => (error ? reject(error) : resolve())));
}

/** Opened each time, so that the file can be moved away. */
async function append(path: string, lines: string): Promise<void> {
  const file = await open(path, 'a+', 0o600);
  try {
    // A line that an earlier process did not finish must not swallow the next one.
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    await file.appendFile(size > 0 && last.toString() !== '\n' ? `\n${lines}` : lines);
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function post(url: URL, token: string | undefined, lines: string): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: lines,
    // A redirect would send entries, and the token, where the operator did not say.
    redirect: 'error',
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`The collector of the audit log responded with the status ${response.status}.`);
}
