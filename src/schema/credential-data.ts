import { may } from '../access/viewer.ts';
import { type CredentialKind, GENERATE, type KindField } from '../credential-kinds/define.ts';
import type { Fact, FactObject } from '../credential-kinds/facts.ts';
import type { CredentialData } from '../domain/credential.ts';
import type { CredentialRecord, SecretFacts } from '../domain/reading.ts';
import type { Field } from '../fields/field.ts';
import { REDACTED } from '../redacted.ts';
import type { GraphQLContext } from './kit/builder.ts';
import type { CostExtensions } from './kit/cost.ts';
import { type FieldBuilder, fieldsFrom, untyped } from './kit/field-types.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/**
 * Adds all types that are generated from the descriptors of the credential kinds: the type `Secret`, enums and fact types, the fields of
 * each kind's type, and the inputs. The compiler does not know their names and types, so this file contains casts; a test selects every
 * field of every kind.
 */
export const credentialData = shared(({ builder, fields, kinds }: Kit) => {
  const secret = builder.objectRef<SecretFacts | Record<string, never>>('Secret').implement({
    description: 'A secret in redacted form. Only `revealSecret` returns the plaintext.',
    extensions: { cost: { own: 5 } } satisfies CostExtensions,
    fields: (t) => ({
      isSet: t.boolean({ description: 'Whether the secret is set.', resolve: ({ sealedAt }) => sealedAt !== undefined }),
      redacted: t.string({ description: 'Always `*****`, even if the secret is not set.', resolve: () => REDACTED }),
      fingerprint: t.string({
        nullable: true,
        description:
          '128 bits that are equal for equal secrets of the organization. Use it to find duplicates, or to check that a secret was replaced. It is a keyed hash, so nobody else can compute it. Null if the secret is not set, or without the scope `credentials.fingerprint`.',
        resolve: (source, _args, { viewer }: GraphQLContext) =>
          may(viewer, 'credentials.fingerprint') ? (source.fingerprint ?? null) : null,
      }),
      sealedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When the secret was last set. Null if not set.',
        resolve: ({ sealedAt }) => sealedAt ?? null,
      }),
    }),
  });

  const factObjects = shared((object: FactObject) =>
    builder.objectRef<Record<string, unknown>>(object.typeName).implement({
      description: object.description,
      fields: (t) =>
        fieldsFrom(object.members, (name, { type, description }) =>
          untyped(t)({ type, nullable: true, description, resolve: (source: Record<string, unknown>) => source[name] ?? null }),
        ),
    }),
  );

  function inputFields(kind: CredentialKind, t: FieldBuilder, partial: boolean) {
    // The domain knows whether a required secret may be absent.
    const mayPend = (field: KindField) => (field.secret && !kind.storedAs ? { ...field, optional: true as const } : field);
    const given = Object.fromEntries(Object.entries(kind.fields).map(([name, field]) => [name, mayPend(field)]));
    const members = fields.inputFields(given, { partial });
    if (!kind.generate) return members;
    const description = `If true, the server generates a key pair and stores the private key as ${kind.generate.field}.`;
    return { ...members, [GENERATE]: untyped(t)({ type: 'Boolean', description }) };
  }

  /** Says which secrets are required, which the types of the input cannot say. */
  function requiredSecrets({ fields, storedAs }: CredentialKind): string {
    const names = Object.keys(fields).filter((name) => fields[name]!.secret && !fields[name]!.optional && !storedAs);
    return names.length === 0 ? '' : ` Required, unless \`pending\` is true: ${names.map((name) => `\`${name}\``).join(', ')}.`;
  }

  /** Creates a `@oneOf` input with one member per kind. */
  function dataInput(name: string, suffix: string, description: string, partial: boolean, kinds: readonly CredentialKind[]) {
    const members = kinds.map((kind) => {
      const hasInput = Object.keys(kind.fields).length > 0;
      const type = hasInput
        ? builder.inputType(`${kind.typeName}${suffix}`, {
            description: partial ? `The fields of \`${kind.typeName}\` to change.` : `A new \`${kind.typeName}\`.${requiredSecrets(kind)}`,
            fields: (t) => inputFields(kind, t, partial) as never,
          })
        : 'EmptyObject';
      return [kind, type] as const;
    });
    return builder.inputRef<CredentialData, false>(name).implement({
      description,
      isOneOf: true,
      fields: (t) =>
        Object.fromEntries(
          members.map(([kind, type]) => [
            kind.kind,
            untyped(t)({ type, description: partial ? `For \`${kind.typeName}\`.` : kind.description }),
          ]),
        ) as never,
    });
  }

  return {
    /** Returns the settings, secrets and facts of a kind as fields of its type. */
    outputFields(kind: CredentialKind, t: FieldBuilder) {
      const field = untyped(t);
      const own = fieldsFrom(kind.fields, (name, { description, ...rest }) =>
        rest.secret
          ? field({ type: secret, description, resolve: ({ secrets }: CredentialRecord) => secrets[name] ?? {} })
          : field({
              type: fields.typeOf(rest as Field),
              nullable: kinds.isNullable(name),
              description,
              resolve: ({ settings }: CredentialRecord) => settings[name] ?? (rest.type === 'StringList' ? [] : null),
            }),
      );
      const facts = fieldsFrom(kind.facts ?? {}, (name, { type, description }: Fact) =>
        field({
          type: typeof type === 'string' ? type : factObjects(type),
          nullable: true,
          description,
          resolve: ({ facts }: CredentialRecord) => facts[name] ?? null,
        }),
      );
      return { ...own, ...facts } as never;
    },
    create: dataInput(
      'CredentialDataInput',
      'Input',
      'The fields of a new credential, in the member of its kind. Exactly one member must be given.',
      false,
      kinds.all,
    ),
    update: dataInput(
      'CredentialDataChanges',
      'Changes',
      'The fields to change, in the member of the credential’s kind. Exactly one member must be given. Within it, absent fields are kept and null clears a field.',
      true,
      kinds.readable,
    ),
  };
});
