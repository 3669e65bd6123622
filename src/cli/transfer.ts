import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ConfigError } from '../config/index.ts';
import { type Gateway, LineError, type TransferReport } from '../gateway/index.ts';
import { count } from './messages.ts';
import { readImportKey, readRecipientKey } from './transfer-keys.ts';
import { TransferLog } from './transfer-log.ts';

/** The maximum length of a line, in bytes. Each is held in memory. */
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

/**
 * Imports a file, or the standard input for `-`. Returns the exit code: 1 if a line could not be imported as it is, or lines are missing.
 * @throws ConfigError, SealedFileError
 */
export async function importFile(
  gateway: Gateway,
  file: string,
  { organization, key: keyFile, replaceSecrets = false }: ImportOptions,
  print: (line: string) => void,
): Promise<number> {
  const key = keyFile === undefined ? undefined : readImportKey(keyFile);
  await gateway.platform.record('importOrganization', { organization });
  const input: Readable = file === '-' ? process.stdin : createReadStream(file);
  const log = new TransferLog((text) => process.stderr.write(text), process.stderr.isTTY === true);
  let report: TransferReport;
  try {
    report = await gateway.transfer.importLines(organization, linesOf(input), {
      replaceSecrets,
      onProblem: (line, message) => log.problem(line, message),
      onProgress: (progress) => log.progress(progress),
      ...(key && { key }),
    });
  } catch (error) {
    throw fileError(error, 'read');
  }
  log.summary();
  const { CREATED, UPDATED, UNCHANGED, FAILED } = report.counts;
  print(`${count(report.lines, 'line')}: ${CREATED} created, ${UPDATED} updated, ${UNCHANGED} unchanged, ${FAILED} not imported.`);
  if (report.problems > 0) {
    tell('Some lines were not imported as they are. Correct them, or import a file with secrets, and run the command again.');
  }
  const { hasHeader, hasEnd } = report;
  if (!hasHeader) tell('The file is not complete: its first line is not the header of an export.');
  if (!hasEnd) tell('The file is not complete: its last line is not the end of an export, or says another number of lines.');
  if (!hasHeader || !hasEnd) tell('What it contains was imported. Import a complete file to import the rest.');
  return report.problems === 0 && hasHeader && hasEnd ? 0 : 1;
}

const NEWLINE = 0x0a;

/**
 * Reads lines of UTF-8. A line with other bytes, which would become other characters, and one that is too long are returned as errors, and the next
 * lines are read.
 */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string | LineError> {
  /** The beginning of the current line. */
  let parts: Uint8Array[] = [];
  let length = 0;
  const add = (bytes: Uint8Array) => {
    length += bytes.length;
    if (length > LINE_MAX) parts = [];
    else if (bytes.length > 0) parts.push(bytes);
  };
  const end = () => {
    const line = length > LINE_MAX ? new LineError(`is longer than ${LINE_MAX} bytes`) : textOf(parts);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of input) {
    let start = 0;
    for (let index = chunk.indexOf(NEWLINE); index >= 0; index = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, index));
      yield end();
      start = index + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield end();
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Decodes a line, without the byte order mark that a file can begin with. */
function textOf(parts: readonly Uint8Array[]): string | LineError {
  try {
    return decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts));
  } catch {
    return new LineError('is not UTF-8');
  }
}

/** Returns a sentence for an error of the file system, and any other error unchanged. */
function fileError(error: unknown, what: 'read' | 'written'): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || syscall === undefined) return error;
  return new ConfigError(`The file cannot be ${what} (${code}).`);
}
