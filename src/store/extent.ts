/** The records that a viewer can access. Every query is limited to it. */
export interface Extent {
  readonly organizationId: string;
  /** The values that certain fields must have. Empty for the whole organization. `nothing` if there are no records at all. */
  readonly confines: Confines | 'nothing';
}

export type Confines = Readonly<Record<string, string>>;

/** Conditions of MongoDB queries. Used in `store/` only. */
export type Conditions = Readonly<Record<string, unknown>>;

/** Returns the condition for the records of an extent. It begins with the organization. */
export function within({ organizationId, confines }: Extent): Conditions {
  if (confines === 'nothing') return { organizationId, _id: { $in: [] } };
  const { id, ...fields } = confines;
  return { organizationId, ...(id !== undefined && { _id: id }), ...fields };
}

/** Combines two conditions. The result is flat if possible, a form that every query planner supports well. */
export function both(a: Conditions, b: Conditions): Conditions {
  return Object.keys(b).some((field) => field in a) ? { $and: [a, b] } : { ...a, ...b };
}

/** Returns whether a record, or another object with the same fields, is within an extent. */
export function isWithin({ confines }: Extent, record: object): boolean {
  if (confines === 'nothing') return false;
  return Object.entries(confines).every(([field, value]) => (record as Conditions)[field] === value);
}

/** @throws Error when a new record is outside the extent */
export function refuseBeyond(extent: Extent, record: object): void {
  if (!isWithin(extent, record)) throw new Error('The new record is outside the limit of the viewer.');
}
