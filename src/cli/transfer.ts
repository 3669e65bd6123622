import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { ConfigError } from '../config.ts';
import type { Gateway, TransferReport } from '../gateway.ts';
import { count } from './messages.ts';
import { readImportKey, readRecipientKey } from './transfer-keys.ts';

/** The maximum length of a line, in characters. Each is held in memory. */
const LINE_MAX = 8 * 1024 * 1024;

const tell = (line: string) => process.stderr.write(`${line}\n`);

/** The options of `export`, as commander gives them. */
export interface ExportOptions {
  readonly organization: string;
  readonly withSecrets?: boolean;
  readonly recipient?: string;
  readonly reason?: string;
}

/**
 * Writes an organization to a file, or to the standard output for `-`. Never writes a plaintext. Returns the exit code: 1 if something was left out.
 * @throws ConfigError, ValidationError
 */
export async function exportOrganization(gateway: Gateway, file: string, options: ExportOptions): Promise<number> {
  const { organization, withSecrets = false, recipient, reason } = options;
  if (withSecrets !== (recipient !== undefined) || withSecrets !== (reason !== undefined)) {
    throw new ConfigError('--with-secrets needs --recipient and --reason, and they need --with-secrets.');
  }
  const secrets = withSecrets ? { recipient: readRecipientKey(recipient!), reason: reason! } : undefined;
  if (!(await gateway.audit.organizations()).includes(organization)) throw new ConfigError('There is no organization with that name.');
  let problems = 0;
  let lines = 0;
  const onProblem = (message: string) => {
    problems++;
    tell(`Problem: ${message}.`);
  };
  async function* text() {
    for await (const line of gateway.transfer.exportLines(organization, { onProblem, ...(secrets && { secrets }) })) {
      lines++;
      yield `${line}\n`;
    }
  }
  const record = () =>
    gateway.platform.record('exportOrganization', { organization, details: secrets ? 'with sealed secrets' : 'without secrets' });
  try {
    if (file === '-') {
      await record();
      await pipeline(Readable.from(text()), process.stdout, { end: false });
    } else {
      await writeNewFile(file, text(), record);
    }
  } catch (error) {
    throw fileError(error, 'written');
  }
  tell(
    `Exported ${count(lines, 'line')}${secrets ? ', with secrets that only the owner of the private key can open' : ', without secrets'}.`,
  );
  if (problems > 0) tell('The command `integrity check` names the objects that were changed, and the secrets that cannot be opened.');
  return problems === 0 ? 0 : 1;
}

/**
 * Writes a file that does not exist yet, for this user only. It gets its name when it is complete, so a failure leaves nothing. `begin` runs before the
 * first text is asked for, and after it is known that the file can be written.
 */
async function writeNewFile(file: string, text: AsyncIterable<string>, begin: () => Promise<unknown>): Promise<void> {
  if (existsSync(file)) throw fileExists();
  const unfinished = `${file}.${randomBytes(6).toString('hex')}.part`;
  const handle = await open(unfinished, 'wx', 0o600);
  try {
    await begin();
    await pipeline(Readable.from(text), handle.createWriteStream({ flush: true }));
    // Unlike `rename`, it does not replace a file that somebody has made in the meantime. Not every file system has links.
    const isLinked = await link(unfinished, file).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST' || existsSync(file)) throw fileExists();
        return false;
      },
    );
    if (!isLinked) await rename(unfinished, file);
  } finally {
    await handle.close().catch(() => undefined);
    await rm(unfinished, { force: true });
  }
}

const fileExists = () => new ConfigError('The file exists already.');

/** The options of `import`, as commander gives them. */
export interface ImportOptions {
  readonly organization: string;
  readonly key?: string;
  readonly replaceSecrets?: boolean;
}

/** Imports a file, or the standard input for `-`. Returns the exit code: 1 if a line could not be imported as it is. @throws ConfigError */
export async function importFile(
  gateway: Gateway,
  file: string,
  { organization, key: keyFile, replaceSecrets = false }: ImportOptions,
  print: (line: string) => void,
): Promise<number> {
  const key = keyFile === undefined ? undefined : readImportKey(keyFile);
  await gateway.platform.record('importOrganization', { organization });
  const input: Readable = file === '-' ? process.stdin : createReadStream(file);
  const { isTTY } = process.stderr;
  const onProgress = (report: TransferReport) => {
    if (isTTY) process.stderr.write(`\r${report.lines} lines, ${report.problems} problems`);
  };
  let report: TransferReport;
  try {
    report = await gateway.transfer.importLines(organization, linesOf(input), {
      replaceSecrets,
      onProblem: (line, message) => tell(`${isTTY ? '\r' : ''}Line ${line} ${message.replace(/\.$/, '')}.`),
      onProgress,
      ...(key && { key }),
    });
  } catch (error) {
    throw fileError(error, 'read');
  }
  if (isTTY) process.stderr.write('\n');
  const { CREATED, UPDATED, UNCHANGED, FAILED } = report.counts;
  print(`${count(report.lines, 'line')}: ${CREATED} created, ${UPDATED} updated, ${UNCHANGED} unchanged, ${FAILED} not imported.`);
  if (report.problems > 0) {
    tell('Some lines were not imported as they are. Correct them, or import a file with secrets, and run the command again.');
    if (!key) tell('If the secrets in the file are sealed, give the private key that opens them: --key.');
  }
  return report.problems === 0 ? 0 : 1;
}

/** Reads lines of UTF-8. Of a line that is too long, only the beginning is returned, which is no JSON. */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let isTooLong = false;
  for await (const chunk of input) {
    const parts = decoder.write(Buffer.from(chunk)).split('\n');
    for (const [index, part] of parts.entries()) {
      if (!isTooLong) rest += part;
      if (rest.length > LINE_MAX) {
        rest = rest.slice(0, 1);
        isTooLong = true;
      }
      if (index === parts.length - 1) continue;
      yield rest;
      rest = '';
      isTooLong = false;
    }
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}

/** Returns a sentence for an error of the file system, and any other error unchanged. */
function fileError(error: unknown, what: 'read' | 'written'): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || syscall === undefined) return error;
  return new ConfigError(`The file cannot be ${what} (${code}).`);
}
