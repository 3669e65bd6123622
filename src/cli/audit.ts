import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../config.ts';
import type { AuditHead, Gateway } from '../gateway.ts';

const headLine = z.object({ organization: z.string(), sequence: z.int(), headHash: z.string() });

/** Verifies the audit logs and prints the results. Returns the exit code: 1 if a log is not intact. */
export async function verifyAudit(
  gateway: Gateway,
  { organization, heads }: { readonly organization?: string; readonly heads?: string },
  print: (line: string) => void,
): Promise<number> {
  const known = heads === undefined ? new Map<string, AuditHead>() : readHeads(heads);
  let exitCode = 0;
  for (const name of organization ? [organization] : await gateway.audit.organizations()) {
    const found = await gateway.audit.verify(name, known.get(name));
    if (!found) throw new ConfigError('There is no organization with that name.');
    const tail = found.oldestUnsealed ? `, ${found.unsealed} not sealed yet, the oldest from ${found.oldestUnsealed.toISOString()}` : '';
    print(`${name}: ${found.problems.length === 0 ? 'intact' : 'NOT INTACT'}; ${found.entries} entries in ${found.batches} batches${tail}`);
    for (const problem of found.problems) print(`  ${problem}`);
    if (found.problems.length > 0) exitCode = 1;
  }
  return exitCode;
}

/** Prints the newest sealed batch of every organization. */
export async function printAuditHeads(gateway: Gateway, print: (line: string) => void): Promise<void> {
  await gateway.audit.seal();
  for (const organization of await gateway.audit.organizations()) {
    const head = (await gateway.audit.verify(organization))?.head;
    if (head) print(JSON.stringify({ organization, ...head }));
  }
}

function readHeads(file: string): Map<string, AuditHead> {
  try {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    return new Map(lines.map((line) => headLine.parse(JSON.parse(line))).map(({ organization, ...head }) => [organization, head]));
  } catch {
    throw new ConfigError('--heads must be a file with the output of `audit heads`.');
  }
}
