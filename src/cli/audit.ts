import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../config/index.ts';
import type { AuditHead, Gateway } from '../gateway/index.ts';

const headLine = z.object({ organization: z.string(), sequence: z.int(), headHash: z.string() });

/** Verifies the audit logs and prints the results. Returns the exit code: 1 if a log is not intact. */
export async function verifyAudit(
  gateway: Gateway,
  { organization, platform, heads }: { readonly organization?: string; readonly platform?: boolean; readonly heads?: string },
  print: (line: string) => void,
): Promise<number> {
  const known = heads === undefined ? new Map<string, AuditHead>() : readHeads(heads);
  const chosen = [...(platform ? [gateway.platform.id] : []), ...(organization === undefined ? [] : [organization])];
  const logs = chosen.length > 0 ? chosen : [gateway.platform.id, ...(await gateway.audit.organizations())];
  let exitCode = 0;
  for (const name of logs) {
    const found = await gateway.audit.verify(name, known.get(name));
    if (!found) throw new ConfigError('There is no organization with that name.');
    const tail = found.oldestUnsealed ? `, ${found.unsealed} not sealed yet, the oldest from ${found.oldestUnsealed.toISOString()}` : '';
    print(`${name}: ${found.problems.length === 0 ? 'intact' : 'NOT INTACT'}; ${found.entries} entries in ${found.batches} batches${tail}`);
    for (const problem of found.problems) print(`  ${problem}`);
    for (const note of found.notes) print(`  note: ${note}`);
    if (found.problems.length > 0) exitCode = 1;
  }
  // An organization that has gone without being deleted has no log that could be verified.
  if (chosen.length === 0) {
    for (const name of known.keys()) {
      if (logs.includes(name) || (await isDeleted(gateway, name))) continue;
      print(`${name}: NOT INTACT; there is a head of it, but neither the organization nor an entry that it was deleted`);
      exitCode = 1;
    }
  }
  return exitCode;
}

async function isDeleted(gateway: Gateway, organization: string): Promise<boolean> {
  for await (const entry of gateway.platform.entries()) {
    if (entry.action === 'deleteOrganization' && entry.organization === organization) return true;
  }
  return false;
}

/** Prints the newest sealed batch of the platform and of every organization. */
export async function printAuditHeads(gateway: Gateway, print: (line: string) => void): Promise<void> {
  await gateway.audit.seal();
  for (const organization of [gateway.platform.id, ...(await gateway.audit.organizations())]) {
    const head = (await gateway.audit.verify(organization))?.head;
    if (head) print(JSON.stringify({ organization, ...head }));
  }
}

/** Prints the entries of the log of the platform, oldest first, as lines of JSON. */
export async function printPlatformLog(gateway: Gateway, print: (line: string) => void): Promise<void> {
  for await (const entry of gateway.platform.entries()) print(JSON.stringify(entry));
}

function readHeads(file: string): Map<string, AuditHead> {
  try {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
    // What an AUDIT_SINK has written contains entries, too. The last head of an organization counts.
    const found = lines.filter(({ type }) => type !== 'entry').map((line) => headLine.parse(line));
    return new Map(found.map(({ organization, ...head }) => [organization, head]));
  } catch {
    throw new ConfigError('--heads must be a file with the output of `audit heads`.');
  }
}
