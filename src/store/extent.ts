/** Which records there are for whoever asks. No query reaches beyond it, whatever is asked for. */
export interface Extent {
  readonly organizationId: string;
  /** The values that certain fields of all these records have; none, for the whole organization. `nothing`: there are no records at all. */
  readonly confines: Confines | 'nothing';
}

export type Confines = Readonly<Record<string, string>>;

/** Conditions as MongoDB takes them. They do not leave `store/`. */
export type Conditions = Readonly<Record<string, unknown>>;

/** The condition that each record of an extent meets; it begins with the organization. */
export function within({ organizationId, confines }: Extent): Conditions {
  if (confines === 'nothing') return { organizationId, _id: { $in: [] } };
  const { id, ...fields } = confines;
  return { organizationId, ...(id !== undefined && { _id: id }), ...fields };
}

/** Both conditions; flat where it can be, which is the form that every planner reads. */
export function both(a: Conditions, b: Conditions): Conditions {
  return Object.keys(b).some((field) => field in a) ? { $and: [a, b] } : { ...a, ...b };
}

/** Whether a record, or what else has its fields, lies within an extent. */
export function isWithin({ confines }: Extent, record: object): boolean {
  if (confines === 'nothing') return false;
  return Object.entries(confines).every(([field, value]) => (record as Conditions)[field] === value);
}

/** @throws Error when what is about to be made lies beyond an extent */
export function refuseBeyond(extent: Extent, record: object): void {
  if (!isWithin(extent, record)) throw new Error('What is made lies beyond what its viewer is limited to.');
}
