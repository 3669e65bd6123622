import { type CredentialKind, GENERATE, type KindField } from '../credential-kinds/define.ts';
import { enumValue } from './credential-data.ts';
import type { Kit } from './kit/index.ts';

type Named<T> = T & { readonly name: string };

/** Adds `credentialKinds`: the descriptors as data, from which a front end can draw a form for any kind. */
export function addCredentialKinds({ builder, kinds }: Kit): void {
  const value = builder.objectRef<{ name: string; description: string }>('CredentialFieldValue').implement({
    description: 'One of the values that a field may have.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The enum value.' }),
      description: t.exposeString('description', { description: 'What it means.' }),
    }),
  });
  const field = builder.objectRef<Named<KindField>>('CredentialFieldInfo').implement({
    description: 'A field of a credential kind, as a form needs to know it.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Its name in the input, and in the type.' }),
      description: t.exposeString('description', { description: 'What to put there.' }),
      type: t.string({
        description: 'The GraphQL type of the input: `String`, `[String!]`, `Int`, `Boolean`, `DateTime` or the name of an enum.',
        resolve: (source) =>
          source.type === 'Choice' ? source.choices.enumName : source.type === 'StringList' ? '[String!]' : source.type,
      }),
      isSecret: t.boolean({ description: 'Whether it is sealed, and shown as `*****`.', resolve: ({ secret }) => secret }),
      isRequired: t.boolean({
        description: 'Whether it must be given on create, and cannot be cleared.',
        resolve: ({ optional }) => !optional,
      }),
      minLength: t.int({
        nullable: true,
        description: 'In characters. Null: not a text.',
        resolve: (source) => (source.type === 'String' ? (source.minLength ?? 1) : null),
      }),
      maxLength: t.int({
        nullable: true,
        description: 'In characters, of one item where it is a list. Null: not a text.',
        resolve: (source) => ('maxLength' in source ? source.maxLength : null),
      }),
      maxItems: t.int({
        nullable: true,
        description: 'Null: not a list.',
        resolve: (source) => ('maxItems' in source ? source.maxItems : null),
      }),
      min: t.int({ nullable: true, description: 'Null: not a number.', resolve: (source) => ('min' in source ? source.min : null) }),
      max: t.int({ nullable: true, description: 'Null: not a number.', resolve: (source) => ('max' in source ? source.max : null) }),
      format: t.string({
        nullable: true,
        description: 'What the text must be, such as `url`, `hostname` or `pemPrivateKey`. Null: anything.',
        resolve: (source) => ('format' in source ? source.format : null),
      }),
      values: t.field({ type: [value], nullable: true, description: 'The values it may have. Null: not an enum.', resolve: valuesOf }),
      example: t.string({
        description: 'A valid value, made up, as JSON where it is not a text.',
        resolve: ({ example }) => (typeof example === 'string' ? example : JSON.stringify(example)),
      }),
    }),
  });
  const fact = builder.objectRef<{ name: string; description: string }>('CredentialFactInfo').implement({
    description: 'A public fact that the server computes, and that cannot be sent.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Its name in the type.' }),
      description: t.exposeString('description', { description: 'What it tells.' }),
    }),
  });
  const info = builder.objectRef<CredentialKind>('CredentialKindInfo').implement({
    description: 'A credential kind, as a form needs to know it.',
    authScopes: { scope: 'credentials.get' },
    fields: (t) => ({
      name: t.string({ description: 'Its member in `CredentialDataInput`, such as `basicAuth`.', resolve: ({ kind }) => kind }),
      readAs: t.string({
        description:
          'Its `CredentialKind` when it is read back. Another one when it only comes in: an OAuth code is read back as the token it is for.',
        resolve: ({ kind, storedAs }) => enumValue(storedAs ?? kind),
      }),
      typeName: t.string({
        description: 'The GraphQL type when it is read back.',
        resolve: ({ typeName, storedAs }) => (storedAs ? kinds.of({ kind: storedAs }).typeName : typeName),
      }),
      description: t.exposeString('description', { description: 'What it is.' }),
      fields: t.field({
        type: [field],
        description: 'The fields to ask for, in this order.',
        resolve: ({ fields }) => Object.entries(fields).map(([name, each]) => ({ name, ...each })),
      }),
      facts: t.field({
        type: [fact],
        description: 'What the server computes from them.',
        resolve: ({ facts = {} }) => Object.entries(facts).map(([name, { description }]) => ({ name, description })),
      }),
      generates: t.string({
        nullable: true,
        description: `The secret that the server makes itself when \`${GENERATE}\` is true. Null: none.`,
        resolve: ({ generate }) => generate?.field,
      }),
    }),
  });
  builder.queryField('credentialKinds', (t) =>
    t.field({
      type: [info],
      description:
        'All credential kinds: what to ask for in a form, what is secret, which bounds hold. Not the credentials themselves. Scope: `credentials.get`.',
      authScopes: { scope: 'credentials.get' },
      args: { names: t.arg.stringList({ description: 'Only these, such as `["basicAuth"]`. Absent: all.' }) },
      resolve: (_root, { names }) => (names ? kinds.all.filter(({ kind }) => names.includes(kind)) : [...kinds.all]),
    }),
  );
}

function valuesOf(field: KindField) {
  if (field.type !== 'Choice') return null;
  const allowed = field.only ?? Object.keys(field.choices.values);
  return allowed.map((name) => ({ name, description: (field.choices.values as Record<string, string>)[name]! }));
}
