import { type CredentialKind, GENERATE, type KindField } from '../credential-kinds/define.ts';
import type { Format } from '../fields/formats.ts';
import { credentialKindEnum } from './credential.ts';
import { credentialFieldType, flatFacts } from './credential-data.ts';
import { textFormat } from './kit/closed-sets.ts';
import type { Kit } from './kit/index.ts';

type Named<T> = T & { readonly name: string };

/** Adds `credentialKinds`: the descriptors as data, from which a front end can generate a form for any kind. */
export function addCredentialKinds(kit: Kit): void {
  const { builder, kinds, typeName: typeNameOf } = kit;
  const value = builder.objectRef<{ name: string; description: string }>('CredentialFieldValue').implement({
    description: 'A value of a field with an enum type.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The enum value.' }),
      description: t.exposeString('description', { description: 'The meaning of the value.' }),
    }),
  });
  const formatOfValue = builder.objectRef<{ value: string; format: Format }>('CredentialFieldFormat').implement({
    description: 'The format that a text must have with one value of another field.',
    fields: (t) => ({
      value: t.exposeString('value', { description: 'The value of the field that `CredentialFieldInfo.formatDependsOn` names.' }),
      format: t.expose('format', { type: textFormat(builder), description: 'The format of the text.' }),
    }),
  });
  const field = builder.objectRef<Named<KindField>>('CredentialFieldInfo').implement({
    description: 'Describes a field of a credential kind, for forms.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The name of the field in the input and in the type.' }),
      description: t.exposeString('description', { description: 'The meaning of the field.' }),
      type: t.field({
        type: credentialFieldType(kit),
        description: 'The type of the value, in the input and when it is read.',
        resolve: ({ type }) => type,
      }),
      enumName: t.string({
        nullable: true,
        description: 'The GraphQL enum that the values are of. Null if the type is not ENUM. Kinds of your own add others.',
        resolve: (source) => (source.type === 'Choice' ? typeNameOf(source.choices.enumName) : null),
      }),
      isSecret: t.boolean({ description: 'Whether it is stored sealed and shown as `*****`.', resolve: ({ secret }) => secret }),
      isSearchable: t.boolean({
        description: 'Whether `credentials(setting:)` and `credentials(search:)` find credentials by it.',
        resolve: (source) => source.type === 'String' && !source.secret && source.searchable === true,
      }),
      isRequired: t.boolean({
        description: 'Whether it is required on create and cannot be cleared.',
        resolve: ({ optional }) => !optional,
      }),
      minLength: t.int({
        nullable: true,
        description: 'The minimum length in characters. Null if it is not a text.',
        resolve: (source) => (source.type === 'String' ? (source.minLength ?? 1) : null),
      }),
      maxLength: t.int({
        nullable: true,
        description: 'The maximum length in characters; of each item if it is a list. Null if it is not a text.',
        resolve: (source) => ('maxLength' in source ? source.maxLength : null),
      }),
      maxItems: t.int({
        nullable: true,
        description: 'The maximum number of items. Null if it is not a list.',
        resolve: (source) => ('maxItems' in source ? source.maxItems : null),
      }),
      min: t.int({
        nullable: true,
        description: 'The minimum. Null if it is not a number.',
        resolve: (source) => ('min' in source ? source.min : null),
      }),
      max: t.int({
        nullable: true,
        description: 'The maximum. Null if it is not a number.',
        resolve: (source) => ('max' in source ? source.max : null),
      }),
      format: t.field({
        type: textFormat(builder),
        nullable: true,
        description: 'The format of the text, or of each text in a list. Null if it depends on another field, or is not a text.',
        resolve: (source) => ('format' in source && !('formatBy' in source && source.formatBy) ? source.format : null),
      }),
      formatDependsOn: t.string({
        nullable: true,
        description: 'The field whose value decides the format, such as `authMethod` of `http`. Null if the format is always the same.',
        resolve: (source) => ('formatBy' in source ? source.formatBy?.setting : null),
      }),
      formats: t.field({
        type: [formatOfValue],
        nullable: true,
        description: 'The format for each value of that field. Null if the format is always the same.',
        resolve: (source) =>
          'formatBy' in source && source.formatBy
            ? Object.entries(source.formatBy.formats).map(([value, format]) => ({ value, format }))
            : null,
      }),
      values: t.field({ type: [value], nullable: true, description: 'The valid values. Null if it is not an enum.', resolve: valuesOf }),
      example: t.string({
        description: 'An invented valid value; as JSON if it is not a text.',
        resolve: ({ example }) => (typeof example === 'string' ? example : JSON.stringify(example)),
      }),
    }),
  });
  const fact = builder.objectRef<ReturnType<typeof flatFacts>[number]>('CredentialFactInfo').implement({
    description: 'Describes a fact: a public field that the server computes. It cannot be set.',
    fields: (t) => ({
      name: t.exposeString('name', {
        description:
          'The name of the field in the type, or the path of a member if the fact is an object, such as `certificateInfo.notAfter`.',
      }),
      type: t.field({ type: credentialFieldType(kit), description: 'The type of the value.', resolve: ({ type }) => type }),
      description: t.exposeString('description', { description: 'The meaning of the fact.' }),
    }),
  });
  const info = builder.objectRef<CredentialKind>('CredentialKindInfo').implement({
    description: 'Describes a credential kind, for forms.',
    authScopes: { scope: 'credentials.get' },
    fields: (t) => ({
      name: t.string({ description: 'The member of `CredentialDataInput`, such as `basicAuth`.', resolve: ({ kind }) => kind }),
      kind: t.field({
        type: credentialKindEnum(kit),
        nullable: true,
        description: 'The `kind` of the credentials that this describes. Null for kinds that exist only as input: see `readAs`.',
        resolve: ({ kind, storedAs }) => (storedAs ? null : kind),
      }),
      readAs: t.field({
        type: credentialKindEnum(kit),
        description: 'The kind under which it is stored. It is another one for kinds that exist only as input.',
        resolve: ({ kind, storedAs }) => storedAs ?? kind,
      }),
      typeName: t.string({
        description: 'The GraphQL type of the stored credential.',
        resolve: ({ typeName, storedAs }) => typeNameOf(storedAs ? kinds.of({ kind: storedAs }).typeName : typeName),
      }),
      description: t.exposeString('description', { description: 'The meaning of the kind.' }),
      refusal: t.string({
        nullable: true,
        description:
          'Why a credential of this kind cannot be created at present, as the message of the error says. Null if it can be created.',
        resolve: (source) => source.refusal,
      }),
      fields: t.field({
        type: [field],
        description: 'The fields, in the order for a form.',
        resolve: ({ fields }) => Object.entries(fields).map(([name, each]) => ({ name, ...each })),
      }),
      facts: t.field({
        type: [fact],
        description: 'The facts that the server computes from the fields.',
        resolve: flatFacts,
      }),
      generates: t.string({
        nullable: true,
        description: `The secret that the server generates if \`${GENERATE}\` is true. Null if it generates none.`,
        resolve: ({ generate }) => generate?.field,
      }),
    }),
  });
  builder.queryField('credentialKinds', (t) =>
    t.field({
      type: [info],
      description:
        'Describes the credential kinds: their fields, which are secret, and their bounds. Does not return credentials. Scope: `credentials.get`.',
      authScopes: { scope: 'credentials.get' },
      args: { names: t.arg.stringList({ description: 'Only these kinds, such as `["basicAuth"]`. All by default.' }) },
      resolve: (_root, { names }) => (names ? kinds.all.filter(({ kind }) => names.includes(kind)) : [...kinds.all]),
    }),
  );
}

function valuesOf(field: KindField) {
  if (field.type !== 'Choice') return null;
  const allowed = field.only ?? Object.keys(field.choices.values);
  return allowed.map((name) => ({ name, description: (field.choices.values as Record<string, string>)[name]! }));
}
