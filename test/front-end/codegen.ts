import type { CodegenConfig } from '@graphql-codegen/cli';

/** The TypeScript types of the scalars. */
export const scalars = {
  CredentialValue: 'string | number | boolean | string[]',
  DateTime: 'string',
  EmptyObject: 'Record<string, never>',
};

/** Writes the types of the operations in `src` into `src/gql`, with GraphQL Code Generator’s client preset. */
const config: CodegenConfig = {
  schema: '../../schema.graphql',
  documents: 'src/**/*.{ts,tsx}',
  errorsOnly: true,
  ignoreNoDocuments: true,
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: 'string',
        useTypeImports: true,
        enumsAsTypes: true,
        strictScalars: true,
        scalars,
      },
    },
  },
};
export default config;
