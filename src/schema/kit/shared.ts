/**
 * Defines a part of the schema that several files use, such as an enum. It is added once per schema, when the first file asks for it. So the
 * order of the files does not matter, and types need not be passed between them.
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
