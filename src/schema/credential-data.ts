import { may } from '../access/viewer.ts';
import { type CredentialKind, GENERATE } from '../credential-kinds/define.ts';
import type { Fact, FactObject } from '../credential-kinds/facts.ts';
import type { Choices, Field } from '../fields/field.ts';
import { credentialKinds, isNullable } from '../credential-kinds/index.ts';
import type { CredentialRecord, SecretFacts } from '../domain/reading.ts';
import { REDACTED } from '../redacted.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import type { CostExtensions } from './cost.ts';

/** A kind as a GraphQL enum value: `basicAuth` is `BASIC_AUTH`, `oauth2Token` is `OAUTH2_TOKEN`. */
export function enumValue(kind: string): string {
  return kind.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * Adds what follows from the descriptors of the credential kinds: the type `Secret`, enums and fact types, the fields of each kind's type,
 * and the inputs. Made from data, so the names and types are not known to the compiler: the casts are here, and a test selects every
 * field of every kind.
 */
export function addCredentialData(builder: Builder) {
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

  const enums = memoized((choices: Choices) =>
    builder.enumType(choices.enumName, {
      description: choices.description,
      values: Object.fromEntries(Object.entries(choices.values).map(([value, description]) => [value, { description }])),
    }),
  );
  const factObjects = memoized((object: FactObject) =>
    builder.objectRef<Record<string, unknown>>(object.typeName).implement({
      description: object.description,
      fields: (t) =>
        fieldsFrom(object.members, (name, { type, description }) =>
          untyped(t)({ type, nullable: true, description, resolve: (source: Record<string, unknown>) => source[name] ?? null }),
        ),
    }),
  );

  /** The GraphQL type of a setting, coming in or going out. */
  function typeOf(field: Field): unknown {
    if (field.type === 'Choice') return enums(field.choices);
    return field.type === 'StringList' ? ['String'] : field.type;
  }
  function inputFields(kind: CredentialKind, t: FieldBuilder, partial: boolean) {
    const fields = fieldsFrom(kind.fields, (_name, field) =>
      untyped(t)({
        type: typeOf(field),
        required: !partial && !field.optional && field.secret !== true && !kind.generate,
        description: `${field.description} ${bounds(field)}`,
      }),
    );
    if (!kind.generate) return fields;
    const description = `True: the server makes a key pair and keeps the private key as ${kind.generate.field}.`;
    return { ...fields, [GENERATE]: untyped(t)({ type: 'Boolean', description }) };
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
    return builder.inputType(name, {
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
              type: typeOf(rest as Field),
              nullable: isNullable(name),
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
      credentialKinds,
    ),
    update: dataInput(
      'CredentialDataChanges',
      'Changes',
      'The fields to change, under the name of the credential’s kind: exactly one member.',
      true,
      credentialKinds.filter((kind) => !kind.storedAs),
    ),
  };
}

interface FieldBuilder {
  field(options: never): unknown;
}
/** Pothos's `t.field`, for options that are made from data. */
function untyped(t: FieldBuilder): (options: object) => never {
  return (options) => t.field(options as never) as never;
}

type AnyFields = Record<string, never>;

function fieldsFrom<T>(members: Readonly<Record<string, T>>, make: (name: string, member: T) => never): AnyFields {
  return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, make(name, member)]));
}

/** What a field's bounds are, in words. */
function bounds(field: Field): string {
  if (field.type === 'String') return `At most ${field.maxLength.toLocaleString('en')} characters.`;
  if (field.type === 'StringList') return `At most ${field.maxItems} items of ${field.maxLength} characters.`;
  if (field.type === 'Int') return `From ${field.min} to ${field.max}.`;
  if (field.type === 'Choice' && field.only) return `One of ${field.only.join(', ')}.`;
  return '';
}

function memoized<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}
