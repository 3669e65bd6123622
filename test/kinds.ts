import { builtInKinds } from '../src/credential-kinds/index.ts';
import { createKindRegistry } from '../src/credential-kinds/registry.ts';

/** The registry of a gateway that was given no kinds of its own. */
export const kindRegistry = createKindRegistry(builtInKinds);
export const { all: credentialKinds, readable: readableKinds, find: kindOf, isNullable } = kindRegistry;
