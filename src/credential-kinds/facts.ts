/** The scalar of a fact, or of one member of a fact that is an object. */
export type FactScalar = 'String' | 'Boolean' | 'DateTime';

/** A fact that is an object with members: it becomes a GraphQL object type. Share one value between kinds. */
export interface FactObject {
  readonly typeName: string;
  readonly description: string;
  /** All may be null. */
  readonly members: Readonly<Record<string, { readonly type: FactScalar; readonly description: string }>>;
}

/** A public, read-only value that the server computes from what was written. Null while there is nothing to compute it from. */
export interface Fact {
  readonly type: FactScalar | FactObject;
  readonly description: string;
}
