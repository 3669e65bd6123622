/**
 * A part of the schema that several files use, such as an enum. It is added when the first of them asks for it, and once to each schema; so
 * no file has to come before another, and no type is handed from one to the next.
 */
export function shared<Key extends object, Part>(add: (key: Key) => Part): (key: Key) => Part {
  const added = new WeakMap<Key, Part>();
  return (key) => {
    const before = added.get(key);
    if (before !== undefined) return before;
    const part = add(key);
    added.set(key, part);
    return part;
  };
}
