import { readFileSync } from 'node:fs';

/** The configurations of clients that the README shows: those that the tests use, with the paths of a front end. */
export const shownConfigurations: readonly string[] = [
  'codegen.ts',
  'relay.config.json',
  'caches/schema-facts.ts',
  'caches/apollo.ts',
  'caches/urql.ts',
].map((file) =>
  readFileSync(new URL(`front-ends/${file}`, import.meta.url), 'utf8')
    .replaceAll('../../../schema.graphql', 'schema.graphql')
    .replace('codegen/*.ts', 'src/**/*.{ts,tsx}')
    .replace('codegen/generated/', 'src/gql/')
    .replace('./relay/generated', './src/generated')
    .replace('./relay', './src'),
);
