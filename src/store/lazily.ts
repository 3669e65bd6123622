/** Functions that create the members of an object, from its source and from its other members. */
export type Builders<Of, Members> = { readonly [M in keyof Members]: (of: Of, own: Members) => Members[M] };

/**
 * Returns a function that creates objects whose members are created on first read. The members are getters of one shared prototype, so
 * creating an object with many members is cheap.
 */
export function lazily<Of, Members extends object>(builders: Builders<Of, Members>): (of: Of) => Members {
  const made = Symbol('of what it is made');
  const prototype = {};
  for (const name of Object.keys(builders) as (keyof Members)[]) {
    Object.defineProperty(prototype, name, {
      get(this: Members & { readonly [made]: Of }) {
        const value = builders[name](this[made], this);
        Object.defineProperty(this, name, { value, enumerable: true });
        return value;
      },
    });
  }
  return (of) => Object.create(prototype, { [made]: { value: of } });
}

/** Returns a function that creates a value when it is called first, and returns the same value each time: for what is large and often not needed. */
export function onFirstUse<T>(create: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: create() };
    return made.value;
  };
}
