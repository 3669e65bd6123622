import { may } from '../access/viewer.ts';
import { type CredentialKind, GENERATE } from '../credential-kinds/define.ts';
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

/** A kind as a GraphQL enum value: `basicAuth` is `BASIC_AUTH`, `oauth2Token` is `OAUTH2_TOKEN`. */
export function enumValue(kind: string): string {
  return kind.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * Adds what follows from the descriptors of the credential kinds: the type `Secret`, enums and fact types, the fields of each kind's type,
 * and the inputs. Made from data, so the names and types are not known to the compiler: the casts are here, and a test selects every
 * field of every kind.
 */
export const credentialData = shared(({ builder, fields, kinds }: Kit) => {
  const secret = builder.objectRef<SecretFacts | Record<string, never>>('Secret').implement({
    description: 'A secret as it may be seen: never in the clear. `revealSecret` gives the plaintext, to those with the scope for it.',
    extensions: { cost: { own: 5 } } satisfies CostExtensions,
    fields: (t) => ({
      isSet: t.boolean({ description: 'Whether there is one.', resolve: ({ sealedAt }) => sealedAt !== undefined }),
      redacted: t.string({ description: 'Always `*****`, set or not, whatever the length.', resolve: () => REDACTED }),
      fingerprint: t.string({
        nullable: true,
        description:
          '128 bits that are equal for equal secrets of the organization: tells whether a rotation took, and finds duplicates. Null without the scope `credentials.fingerprint`, and when not set. Not a hash of the secret that others could compute.',
        resolve: (source, _args, { viewer }: GraphQLContext) =>
          may(viewer, 'credentials.fingerprint') ? (source.fingerprint ?? null) : null,
      }),
      sealedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it was last set. Null when not set.',
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
    // That a secret is given, or made here, is checked by the kind: GraphQL's own answer to a missing one would come before any other.
    const isRequired = (field: Field) => !field.optional && !field.secret && !kind.generate;
    const members = fields.inputFields(kind.fields, { partial, isRequired });
    if (!kind.generate) return members;
    const description = `True: the server makes a key pair and keeps the private key as ${kind.generate.field}.`;
    return { ...members, [GENERATE]: untyped(t)({ type: 'Boolean', description }) };
  }

  /** The `@oneOf` input over all kinds. */
  function dataInput(name: string, suffix: string, description: string, partial: boolean, kinds: readonly CredentialKind[]) {
    const members = kinds.map((kind) => {
      const hasInput = Object.keys(kind.fields).length > 0;
      const type = hasInput
        ? builder.inputType(`${kind.typeName}${suffix}`, {
            description: partial ? `Changes to a ${kind.kind} credential: absent is kept, null is cleared.` : kind.description,
            fields: (t) => inputFields(kind, t, partial) as never,
          })
        : 'EmptyObject';
      return [kind, type] as const;
    });
    return builder.inputRef<CredentialData, false>(name).implement({
      description,
      isOneOf: true,
      fields: (t) =>
        Object.fromEntries(members.map(([kind, type]) => [kind.kind, untyped(t)({ type, description: kind.description })])) as never,
    });
  }

  return {
    /** The settings, secrets and facts of a kind, as fields of its type. */
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
      'The kind of a new credential, and its fields: exactly one member.',
      false,
      kinds.all,
    ),
    update: dataInput(
      'CredentialDataChanges',
      'Changes',
      'The fields to change, under the name of the credential’s kind: exactly one member.',
      true,
      kinds.readable,
    ),
  };
});
