import { may } from '../access/viewer.ts';
import { type CredentialKind, GENERATE, type KindField } from '../credential-kinds/define.ts';
import type { Fact, FactObject, FactScalar } from '../credential-kinds/facts.ts';
import { factOf } from '../credential-kinds/fit.ts';
import type { CredentialData } from '../domain/credential.ts';
import type { CredentialRecord, SecretFacts } from '../domain/reading.ts';
import type { Field } from '../fields/field.ts';
import { REDACTED } from '../redacted.ts';
import type { CredentialValue, GraphQLContext, OutputBuilder } from './kit/builder.ts';
import type { CostExtensions } from './kit/cost.ts';
import { type FieldBuilder, fieldsFrom, untyped } from './kit/field-types.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** The types that the values of fields and facts of credential kinds have. They are not those of GraphQL, so that a front end knows them all. */
export const credentialFieldType = shared(({ builder }: Kit) =>
  builder.enumType('CredentialFieldType', {
    description: 'The type of a field or a fact of a credential kind. Kinds of your own have the same types.',
    values: {
      STRING: { value: 'String', description: 'A text.' },
      STRING_LIST: { value: 'StringList', description: 'A list of texts.' },
      INT: { value: 'Int', description: 'A whole number.' },
      BOOLEAN: { value: 'Boolean', description: 'True or false.' },
      DATE_TIME: { value: 'DateTime', description: 'A point in time, as text (RFC 3339).' },
      ENUM: { value: 'Choice', description: 'One of the values of a GraphQL enum, as text.' },
    } satisfies Record<string, { value: KindField['type'] | FactScalar; description: string }>,
  }),
);

/** A fact that is no object. A member of a fact that is one has the path of both names, such as `certificateInfo.notAfter`. */
interface FlatFact {
  readonly name: string;
  readonly type: FactScalar;
  readonly description: string;
  readonly read: (facts: Readonly<Record<string, unknown>>) => unknown;
}

/** Returns the facts of a kind as a flat list. */
export function flatFacts({ facts = {} }: CredentialKind): FlatFact[] {
  return Object.entries(facts).flatMap(([name, { type, description }]) =>
    typeof type === 'string'
      ? [{ name, type, description, read: (all) => all[name] }]
      : Object.entries(type.members).map(([member, each]) => ({
          ...each,
          name: `${name}.${member}`,
          read: (all) => (objectIn(all[name]) as Readonly<Record<string, unknown>> | null)?.[member],
        })),
  );
}

/** A field or a fact of one credential, as a front end shows it without knowing the kind. */
interface GenericValue {
  readonly name: string;
  readonly type: KindField['type'] | FactScalar;
  readonly value: CredentialValue | null;
}
interface GenericField extends GenericValue {
  /** Null for a setting. */
  readonly secret: SecretFacts | Record<string, never> | null;
}

/** Returns a fact that is an object, or null if what is stored is none. */
function objectIn(fact: unknown): object | null {
  return typeof fact === 'object' && fact !== null && !(fact instanceof Date) ? fact : null;
}

/** Returns the value of a setting as it is shown. */
function settingOf({ settings }: CredentialRecord, name: string, { type }: KindField): CredentialValue | null {
  return (settings[name] ?? (type === 'StringList' ? [] : null)) as CredentialValue | null;
}

/**
 * Adds all types that are generated from the descriptors of the credential kinds: the type `Secret`, enums and fact types, the fields of
 * each kind's type, and the inputs. The compiler does not know their names and types, so this file contains casts; a test selects every
 * field of every kind.
 */
export const credentialData = shared((kit: Kit) => {
  const { builder, fields, kinds } = kit;
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
          untyped(t)({ type, nullable: true, description, resolve: (source: Record<string, unknown>) => factOf(type, source[name]) }),
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

  const genericField = builder.objectRef<GenericField>('CredentialField').implement({
    description: 'A field of a credential of any kind. `CredentialKindInfo.fields` has a description of the same name.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The name of the field in the type of the credential, such as `username`.' }),
      type: t.field({ type: credentialFieldType(kit), description: 'The type of the value.', resolve: ({ type }) => type }),
      value: t.expose('value', {
        type: 'CredentialValue',
        nullable: true,
        description: 'The value. Null if it is not set, and always null if the field is secret: see `secret`.',
      }),
      secret: t.expose('secret', {
        type: secret,
        nullable: true,
        description: 'The secret in redacted form, whether it is set or not. Null if the field is not secret.',
      }),
    }),
  });
  const genericFact = builder.objectRef<GenericValue>('CredentialFact').implement({
    description: 'A fact of a credential of any kind. `CredentialKindInfo.facts` has a description of the same name.',
    fields: (t) => ({
      name: t.exposeString('name', {
        description: 'The name of the fact in the type of the credential, or the path of a member, such as `certificateInfo.notAfter`.',
      }),
      type: t.field({ type: credentialFieldType(kit), description: 'The type of the value.', resolve: ({ type }) => type }),
      value: t.expose('value', { type: 'CredentialValue', nullable: true, description: 'The value. Null if it is not known.' }),
    }),
  });

  /** Returns all fields of a credential. One whose value does not fit its kind any more has none. */
  function genericFieldsOf(record: CredentialRecord): GenericField[] {
    const outdated = kinds.misfits(record);
    return Object.entries(kinds.of(record).fields).map(([name, field]) => {
      if (field.secret) return { name, type: field.type, value: null, secret: record.secrets[name] ?? {} };
      return { name, type: field.type, value: outdated.includes(name) ? null : settingOf(record, name, field), secret: null };
    });
  }

  return {
    /** Returns the fields of the interface of all kinds that show a credential without knowing its kind. */
    genericFields: (t: OutputBuilder<CredentialRecord>) => ({
      fields: t.field({
        type: [genericField],
        description:
          'The fields that its kind has besides those of all kinds, with the values that the fields of its type have. So any credential can be shown without a fragment for each kind, in the order for a form. To find their descriptions, compare `kind` with `CredentialKindInfo.kind`. Empty for an altered credential.',
        resolve: (record): GenericField[] => (record.isAltered ? [] : genericFieldsOf(record)),
      }),
      facts: t.field({
        type: [genericFact],
        description:
          'The public facts that the server has computed from its fields. A fact that is an object is listed by its members. Empty for an altered credential.',
        resolve: (record): GenericValue[] =>
          record.isAltered
            ? []
            : flatFacts(kinds.of(record)).map(({ name, type, read }) => ({
                name,
                type,
                value: factOf(type, read(record.facts)) as CredentialValue | null,
              })),
      }),
    }),
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
              resolve: (record: CredentialRecord) => settingOf(record, name, kind.fields[name]!),
            }),
      );
      const facts = fieldsFrom(kind.facts ?? {}, (name, { type, description }: Fact) =>
        field({
          type: typeof type === 'string' ? type : factObjects(type),
          nullable: true,
          description,
          resolve: ({ facts }: CredentialRecord) => (typeof type === 'string' ? factOf(type, facts[name]) : objectIn(facts[name])),
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
