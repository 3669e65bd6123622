import {
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  type OperationDefinitionNode,
  typeFromAST,
} from 'graphql';
import type { Issue, Path } from '../errors.ts';

/**
 * Returns the errors in an operation's variables, each with its path and the expected type. graphql-js makes the same checks (GraphQL
 * specification, section 6.1.2), but its messages repeat the variables, including passwords.
 */
export function variableIssues(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): Issue[] {
  return (operation.variableDefinitions ?? []).flatMap(({ variable, type: typeNode, defaultValue }) => {
    const type = typeFromAST(schema, typeNode as never) as GraphQLInputType | undefined;
    const name = variable.name.value;
    if (!type || !isInputType(type)) return [];
    if (!Object.hasOwn(variables, name)) {
      return defaultValue === undefined && isNonNullType(type)
        ? [{ path: [`$${name}`], message: `is required, with the type ${type}` }]
        : [];
    }
    return issuesOf(type, variables[name], [`$${name}`]);
  });
}

function issuesOf(type: GraphQLInputType, value: unknown, path: Path): Issue[] {
  if (isNonNullType(type)) {
    return value == null ? [{ path, message: `must not be null: its type is ${type}` }] : issuesOf(type.ofType, value, path);
  }
  if (value == null) return [];
  if (isListType(type)) {
    // A single value is coerced to a list of one item (section 3.11).
    return Array.isArray(value)
      ? value.flatMap((item, index) => issuesOf(type.ofType, item, [...path, index]))
      : issuesOf(type.ofType, value, path);
  }
  if (isInputObjectType(type)) {
    if (typeof value !== 'object' || Array.isArray(value)) return [{ path, message: `must be an object of type ${type.name}` }];
    const given = value as Record<string, unknown>;
    const fields = type.getFields();
    const issues = Object.values(fields).flatMap((field): Issue[] => {
      if (Object.hasOwn(given, field.name) && given[field.name] !== undefined)
        return issuesOf(field.type, given[field.name], [...path, field.name]);
      const missing = isNonNullType(field.type) && field.defaultValue === undefined;
      return missing ? [{ path: [...path, field.name], message: `is required, with the type ${field.type}` }] : [];
    });
    if (Object.keys(given).some((name) => !Object.hasOwn(fields, name))) {
      issues.push({ path, message: `has a field that the type ${type.name} does not have` });
    }
    const set = Object.values(given).filter((member) => member !== undefined);
    if (type.isOneOf && (set.length !== 1 || set[0] === null)) {
      issues.push({ path, message: `must have exactly one field, which must not be null: the type ${type.name} is @oneOf` });
    }
    return issues;
  }
  try {
    if (type.parseValue(value) !== undefined) return [];
  } catch {
    // The message of the scalar can repeat the value.
  }
  const values = valuesOf(type);
  return [{ path, message: `must have the type ${type.name}${values && `. Its values: ${values}`}` }];
}

/** Returns the names of an enum’s values, and an empty text for any other type. */
export function valuesOf(type: GraphQLNamedType): string {
  return isEnumType(type)
    ? type
        .getValues()
        .map(({ name }) => name)
        .join(', ')
    : '';
}
