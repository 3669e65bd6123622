import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

/** Rows of the checklists that no test can keep, and why. Every other row is cited by the name of the test that keeps it. */
const withoutTest: Readonly<Record<string, string>> = {
  Z11: 'An envelope under the type’s name belongs to that REST API; over GraphQL the caller chooses the shape of the answer.',
  Z34: 'Says what that page lacks. Here there is a list, which Losant’s rows ask for.',
};

const sequence = (letter: string, last: number) => Array.from({ length: last }, (_, index) => `${letter}${index + 1}`);
const rows = [
  ...sequence('Z', 34),
  ...sequence('H', 15),
  'H20',
  'H21',
  ...sequence('V', 29),
  ...[...'abcdefghijk'].map((letter) => `V18${letter}`),
  ...sequence('L', 17),
];

/** The rows that stand at the beginning of a test's name, or of a table's row that becomes one. */
function citedRows(): Set<string> {
  const cited = ['.', '../domain/']
    .map((directory) => new URL(directory, import.meta.url))
    .flatMap((directory) => readdirSync(directory).map((name) => new URL(name, directory)))
    .filter(({ pathname }) => pathname.endsWith('.test.ts') && !pathname.endsWith('/coverage.test.ts'))
    .map((file) => readFileSync(file, 'utf8'))
    .flatMap((text) => [...text.matchAll(/['`]([ZVLH]\d+[a-k]?(?:, [ZVLH]\d+[a-k]?)*)(?=[:'`])/g)])
    .flatMap(([, list]) => list!.split(', '));
  return new Set(cited);
}

// Protects the promise that nothing the source documents offer was forgotten.
it.each(rows)('%s is kept by a test, or there is a reason why none can', (row) => {
  expect(citedRows().has(row)).not.toBe(row in withoutTest);
});

it('cites no row that the checklists do not have', () => {
  const known = new Set(rows);
  expect([...citedRows()].filter((row) => !known.has(row))).toEqual([]);
});
