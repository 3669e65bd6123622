import type { InputFieldRef } from '@pothos/core';
import { type Choices, describeInput, type Field, type Fields, type GivenValue, type ObjectType } from '../../fields/field.ts';
import { type Builder, createInputBuilder, type SchemaTypes } from './builder.ts';
import { describedBy } from './closed-sets.ts';
import { encodeId } from './global-id.ts';
import { readsId, readsSecret } from './input.ts';
import { shared } from './shared.ts';

type IsRequired<F, Partial> = Partial extends true ? false : F extends { readonly optional: true } ? false : true;
type InputFields<F extends Fields, Partial extends boolean> = {
  [K in keyof F]: InputFieldRef<
    SchemaTypes,
    IsRequired<F[K], Partial> extends true ? GivenValue<F[K]> : GivenValue<F[K]> | null | undefined
  >;
};

/** Pothos's field builders, for options that are generated from data. */
export interface FieldBuilder {
  field(options: never): unknown;
}
/** Returns `t.field` for options that are generated from data, whose names and types the compiler does not know. */
export function untyped(t: FieldBuilder): (options: object) => never {
  return (options) => t.field(options as never) as never;
}

/** Creates one field per member with the given function. */
export function fieldsFrom<T>(members: Readonly<Record<string, T>>, make: (name: string, member: T) => never): Record<string, never> {
  return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, make(name, member)]));
}

/**
 * Everything that is generated from field descriptors: enums, object types, inputs, and the fields that read and write values. The compiler
 * does not know these types, so this file contains casts; the returned functions are typed by the descriptors.
 */
export const fieldTypes = shared((builder: Builder) => {
  const input = createInputBuilder(builder);
  /** Returns the enum of a closed set of values. */
  const enumOf = shared(<V extends string>({ enumName, description, values }: Choices<V>) =>
    builder.enumType(enumName, {
      description,
      values: describedBy<V>(values),
    }),
  );
  /** Returns the output type of an object. */
  const objectOf = shared(({ typeName, description, fields }: ObjectType) =>
    builder.objectRef<object>(typeName).implement({ description, fields: (t) => outputFields(t, fields) as never }),
  );
  /** Returns the input type of an object. */
  const inputOf = shared(({ inputName, description, inputDescription = description, fields }: ObjectType) =>
    builder.inputType(inputName, { description: inputDescription, fields: () => inputFields(fields) as never }),
  );

  /** Returns the GraphQL type of a field's value. */
  function typeOf(field: Field, objects: (of: ObjectType) => unknown): unknown {
    switch (field.type) {
      case 'Choice':
        return enumOf(field.choices);
      case 'ChoiceList':
        return [enumOf(field.choices)];
      case 'StringList':
        return ['String'];
      case 'Object':
        return objects(field.of);
      case 'ObjectList':
        return [objects(field.of)];
      default:
        return field.type;
    }
  }

  /** Returns the input fields. Fields that are not optional are required; with `partial`, none is. */
  function inputFields<F extends Fields, Partial extends boolean = false>(
    fields: F,
    { partial }: { readonly partial?: Partial } = {},
  ): InputFields<F, Partial> {
    return fieldsFrom(fields, (_name, field) =>
      untyped(input)({
        type: typeOf(field, inputOf),
        required: !partial && !field.optional,
        description: describeInput(field),
        extensions: field.secret ? readsSecret : field.type === 'ID' ? readsId(field.noun) : undefined,
      }),
    ) as never;
  }

  /** Returns the output fields. By default, they read the members of the same names. */
  function outputFields(
    t: FieldBuilder,
    fields: Fields,
    readValue: (source: never, name: string) => unknown = (source, name) => source[name],
  ): Record<string, never> {
    return fieldsFrom(fields, (name, field) =>
      untyped(t)({
        type: typeOf(field, objectOf),
        nullable: field.optional === true && field.default === undefined,
        description: field.description,
        resolve(source: never) {
          // A record that is older than the field has the default.
          const value = readValue(source, name) ?? field.default;
          return field.type === 'ID' && typeof value === 'string' ? encodeId(field.noun, value) : value;
        },
      }),
    );
  }

  return { enumOf, objectOf, inputFields, outputFields, typeOf: (field: Field) => typeOf(field, objectOf) };
});
