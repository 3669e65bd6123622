// Writes the table of settings into the README, in the place of the one that is there. Needs the built JavaScript.
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsTable } from '../../dist/config.js';

const file = new URL('../../README.md', import.meta.url);
const readme = readFileSync(file, 'utf8');
const table = /^\| setting \|.*\n(\|.*\n)*/m;
if (!table.test(readme)) throw new Error('README.md has no table of settings.');
writeFileSync(
  file,
  readme.replace(table, () => `${settingsTable()}\n`),
);
