/** What types declare for the subgraph, in their extensions. `schema/subgraph.ts` makes directives of it. */

/** The interface of all credentials. */
export const CREDENTIAL_BASE = 'CredentialBase';

/** The extension of an object type that declares its keys besides `id`, each as the text of its fields. */
export interface KeyExtensions {
  readonly keys?: readonly string[];
}

/** The extension of a type that a router can resolve alike in several subgraphs, so that each can have it. */
export interface ShareableExtensions {
  readonly isShareable?: true;
}

/** The extension of the interface that has a key if `credentials` is added. */
export interface InterfaceKeyExtensions {
  readonly mayHaveKey?: true;
}
