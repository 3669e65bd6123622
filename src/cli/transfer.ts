import { createReadStream, createWriteStream } from 'node:fs';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { ConfigError } from '../config.ts';
import type { Gateway, TransferReport } from '../gateway.ts';
import { count } from './keys.ts';
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
  await gateway.platform.record('exportOrganization', { organization, details: secrets ? 'with sealed secrets' : 'without secrets' });
  const output: Writable = file === '-' ? process.stdout : createWriteStream(file, { flags: 'wx', mode: 0o600 });
  try {
    await pipeline(Readable.from(text()), output, { end: file !== '-' });
  } catch (error) {
    throw fileError(error, 'written');
  }
  tell(
    `Exported ${count(lines, 'line')}${secrets ? ', with secrets that only the owner of the private key can open' : ', without secrets'}.`,
  );
  return problems === 0 ? 0 : 1;
}

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
  if (report.problems > 0)
    tell('Some lines were not imported as they are. Correct them, or import a file with secrets, and run the command again.');
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
  return new ConfigError(code === 'EEXIST' ? 'The file exists already.' : `The file cannot be ${what} (${code}).`);
}
