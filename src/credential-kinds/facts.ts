/** The scalar type of a fact, or of a member of a fact that is an object. */
export type FactScalar = 'String' | 'Boolean' | 'DateTime';

/** A fact that is an object; it becomes a GraphQL object type. Kinds that have the same fact must share one such object. */
export interface FactObject {
  readonly typeName: string;
  readonly description: string;
  /** All members are nullable. */
  readonly members: Readonly<Record<string, { readonly type: FactScalar; readonly description: string }>>;
}

/** A public, read-only value that the server computes from the credential. Null while the fields that it is computed from are not set. */
export interface Fact {
  readonly type: FactScalar | FactObject;
  readonly description: string;
}
