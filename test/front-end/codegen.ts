import type { CodegenConfig } from '@graphql-codegen/cli';

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
        scalars: {
          CredentialValue: 'string | number | boolean | string[]',
          DateTime: 'string',
          EmptyObject: 'Record<string, never>',
        },
      },
    },
  },
};
export default config;
