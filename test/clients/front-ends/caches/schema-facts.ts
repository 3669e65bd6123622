import { type GraphQLSchema, getNullableType, isAbstractType, isListType, isObjectType } from 'graphql';

/** What a cache must know of the schema. Compute it when you build, and ship it as JSON in place of the schema. */
export function schemaFacts(schema: GraphQLSchema) {
  const types = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith('__'));
  const objects = types.filter(isObjectType).map((type) => ({ name: type.name, fields: Object.values(type.getFields()) }));
  return {
    /** The members of each union and each interface. */
    possibleTypes: Object.fromEntries(types.filter(isAbstractType).map((type) => [type.name, schema.getPossibleTypes(type).map(String)])),
    /** The types without an id. Their objects are parts of another object. */
    partTypes: objects.filter(({ fields }) => !fields.some(({ name }) => name === 'id')).map(({ name }) => name),
    /** The fields with lists, by type. */
    lists: Object.fromEntries(
      objects.map(({ name, fields }) => [name, fields.filter(({ type }) => isListType(getNullableType(type))).map((field) => field.name)]),
    ),
  };
}
