/** How each member of an object is built: from what the object is made of, and from its other members. */
export type Builders<Of, Members> = { readonly [M in keyof Members]: (of: Of, own: Members) => Members[M] };

/**
 * How to make objects whose members are built when they are first read, and then kept. The members are getters of one prototype, so to make
 * an object of many members costs next to nothing: it pays for what is read.
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
