import { type Noun, nouns, nounTable } from './nouns.ts';

/** Returns the noun's name in global ids. All credential kinds share one. */
export function nounName(noun: Noun): string {
  return nounTable[noun].typeName;
}

const nounsByName = new Map(nouns.map((noun) => [nounName(noun), noun]));

/** Returns the global id, which is unique among all objects: base64url of the noun and the record's id. */
export function encodeId(noun: Noun, id: string): string {
  return Buffer.from(`${nounName(noun)}:${id}`).toString('base64url');
}

/** Parses a global id. Returns undefined when it is malformed. Does not check whether the object exists. */
export function parseId(globalId: string): { readonly noun: Noun; readonly id: string } | undefined {
  const [, name, id] = /^([A-Za-z]+):([0-9a-f]{24})$/.exec(Buffer.from(globalId, 'base64url').toString()) ?? [];
  const noun = name && nounsByName.get(name);
  return noun && id ? { noun, id } : undefined;
}
