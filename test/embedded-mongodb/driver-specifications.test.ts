import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, type Document } from 'mongodb';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { FailPoints } from './fail-points.ts';
import { toUnified } from './legacy-test-format.ts';
import { meets, NotRun, runTest } from './unified-test-format.ts';

/**
 * MongoDB's tests of drivers say what a server answers. They are licensed CC BY-NC-SA and so are not here: DRIVER_SPECIFICATIONS names a
 * directory of them (https://github.com/mongodb/specifications, `source`, or its copy in the source of a driver).
 */
const specifications = process.env.DRIVER_SPECIFICATIONS;

/** Codes that say "not supported", and what other codes say then: what was refused was not answered wrongly. */
const refusals = new Set([59, 115, 238, 263]);
const refusal = /not supported by the embedded database/;

/** What is known to be otherwise than the tests say: by what words, and why. It is the driver's, for which the tests are too old. */
const differences: [RegExp, string][] = [
  [/readConcern is \{"afterClusterTime":/, 'the driver sends afterClusterTime with writes, too'],
  [/writeConcern is \{"w":1,"wtimeout":10000\}, expected \{"w":1\}/, 'the driver gives the first commit a wtimeout, too'],
  [/, (files_id|_id) is \{"\$eq":/, 'GridFS asks with $eq'],
  [/First insertOne is never committed: .*insertedIds is/, 'the driver lists the ids of what failed, too'],
  [/(secondary read preference|readPreference inherited) .*: Server selection timed out/, 'the driver connects to a secondary first'],
];

if (!specifications) it.skip('DRIVER_SPECIFICATIONS names no directory of driver specification tests', () => {});
else {
  const directory = mkdtempSync(join(tmpdir(), 'embedded-specifications-'));
  let server: EmbeddedMongodb;
  let failPoints: FailPoints;
  let uri: string;
  const counts: Record<string, number> = {};
  const count = (verdict: string) => {
    counts[verdict] = (counts[verdict] ?? 0) + 1;
  };

  beforeAll(async () => {
    server = await startEmbeddedMongodb({ directory });
    failPoints = new FailPoints(decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!));
    uri = await failPoints.listen();
  });
  afterAll(async () => {
    console.log(counts);
    failPoints.stop();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const names = readdirSync(specifications, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));
  describe.each(names.sort())('%s', (name) => {
    const file = toUnified(BSON.EJSON.parse(readFileSync(join(specifications, name), 'utf8')));
    if (!file) return it.skip('a file of another format', () => {});
    for (const test of file.tests as Document[]) {
      it(test.description, async ({ skip }) => {
        const without = (verdict: string, why = '') => {
          count(verdict);
          skip(`${verdict} ${why}`);
        };
        if (test.skipReason) return without('skipped by the specification');
        if (!meets(file.runOnRequirements) || !meets(test.runOnRequirements)) return without('for another server');
        const error = await runTest(uri, file, test, failPoints).then(
          () => undefined,
          (reason) => reason,
        );
        const refused = failPoints.errors.find(({ code, message }) => refusals.has(code) || refusal.test(message));
        if (error instanceof NotRun) return without('not in the runner', error.message);
        if (refused) return without(`${error ? 'refused' : 'refused, as any error is expected'}: ${refused.code}`, refused.message);
        const problems: string[] = error ? error.message.split('\n') : [];
        const reasons = problems.map((problem) => differences.find(([known]) => known.test(`${test.description}: ${problem}`))?.[1]);
        if (error && reasons.every(Boolean)) return without('differs:', [...new Set(reasons)].join(', '));
        count(error ? 'FAILED' : 'passed');
        if (error) throw error;
      });
    }
  });
}
