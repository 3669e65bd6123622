import type { CodegenConfig } from '@graphql-codegen/cli';
import { scalars } from '../../front-end/codegen.ts';

const config: CodegenConfig = {
  schema: '../../../schema.graphql',
  documents: 'codegen/*.ts',
  generates: {
    'codegen/generated/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        useTypeImports: true,
        enumsAsTypes: true,
        strictScalars: true,
        scalars,
      },
    },
  },
};
export default config;
