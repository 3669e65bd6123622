import {
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isInterfaceType,
  isLeafType,
  isObjectType,
  isRequiredArgument,
  isUnionType,
} from 'graphql';

type Field = GraphQLField<unknown, unknown>;

/** A selection of all fields that need no argument, down to a depth. A field that differs between the members of a type gets the number of its member: a document has a maximum length. */
export function selectionOfAll(schema: GraphQLSchema, type: GraphQLOutputType, depth: number): string {
  const named = getNamedType(type);
  if (isLeafType(named)) return '';
  const common = isUnionType(named) ? schema.getType('CredentialBase')! : named;
  const shared = isObjectType(common) || isInterfaceType(common) ? Object.values(common.getFields()) : [];
  const parts = shared.map((field) => fieldOf(schema, field, depth, named, field.name));
  if (isUnionType(named)) parts.splice(0, parts.length, `... on ${common.name} { ${parts.join(' ')} }`);
  if (isAbstractType(named)) {
    for (const [index, member] of schema.getPossibleTypes(named).entries()) {
      const own = Object.values(member.getFields()).filter(({ name }) => !shared.some((field) => field.name === name));
      const selected = own.map((field) => fieldOf(schema, field, depth, member, `m${index}_${field.name}: ${field.name}`));
      if (selected.join('')) parts.push(`... on ${member.name} { ${selected.filter(Boolean).join(' ')} }`);
    }
  }
  return `{ __typename ${parts.filter(Boolean).join(' ')} }`;
}

function fieldOf(schema: GraphQLSchema, field: Field, depth: number, parent: GraphQLNamedType, text: string): string {
  if (field.args.some(isRequiredArgument)) return '';
  const type = getNamedType(field.type);
  if (isLeafType(type)) return text;
  // All of a record is in `nodes`.
  if (/PageEdge$/.test(parent.name)) return `${text} { __typename ... on Node { id } }`;
  // Of a record at the end, the id is left: all queries select the same of the parts of a record, as they do with a fragment.
  const isRecord = isUnionType(type) || ('getFields' in type && 'id' in type.getFields());
  const isPage = /Page$/.test(type.name);
  const left = (isRecord && !/Page$/.test(parent.name)) || isPage ? depth - 1 : depth;
  if (left < 0) return isPage ? '' : `${text} { __typename ... on Node { id } }`;
  const first = field.args.some(({ name }) => name === 'first') ? '(first: 2)' : '';
  return `${text}${first} ${selectionOfAll(schema, field.type, left)}`;
}
