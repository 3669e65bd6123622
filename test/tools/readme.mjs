// Writes the tables of settings and of kinds into the README, in the place of those that are there. Needs the built JavaScript.
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsTable } from '../../dist/config/index.js';
import { appliedTable } from '../../dist/credential-kinds/applied-table.js';
import { builtInKinds } from '../../dist/credential-kinds/index.js';

const file = new URL('../../README.md', import.meta.url);
const readme = readFileSync(file, 'utf8');
const table = /^\| setting \|.*\n(\|.*\n)*/m;
const kinds = /^\| kind \| without.*\n(\|.*\n)*/m;
if (!table.test(readme)) throw new Error('README.md has no table of settings.');
if (!kinds.test(readme)) throw new Error('README.md has no table of kinds.');
writeFileSync(
  file,
  readme.replace(table, () => `${settingsTable()}\n`).replace(kinds, () => `${appliedTable(builtInKinds)}\n`),
);
