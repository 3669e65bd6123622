import { both, type Conditions, type Extent, isWithin, within } from './extent.ts';
import type { Fields } from './fields.ts';
import { conditionsOf, type Filter, matcherOf, requirementsOf } from './filter.ts';
import { type BaseRecord, baseFields } from './record.ts';

export interface SelectionOptions<R extends BaseRecord> {
  /** The noun's own fields. */
  readonly fields: Fields;
  /** The field that globs match. `name` by default. */
  readonly nameField?: string;
  /**
   * A condition that every read adds, such as "not yet expired", its opposite, for which there is an index within the organization, and the same
   * as a function of a record.
   */
  readonly visible?: { readonly condition: () => Conditions; readonly hidden: () => Conditions; readonly holds: (record: R) => boolean };
}

export type Selection<R extends BaseRecord> = ReturnType<ReturnType<typeof selections<R>>>;

/**
 * Returns a function that returns what filters select of the records of one noun within an extent. Every query of the store begins with conditions
 * that are made here.
 */
export function selections<R extends BaseRecord>({ fields, nameField = 'name', visible }: SelectionOptions<R>) {
  const allFields = { ...baseFields, ...fields };
  return (extent: Extent) => {
    const written = (filter: Filter<R> | Filter<BaseRecord>) => both(within(extent), conditionsOf(filter, allFields, nameField));
    return {
      extent,
      visible,
      /** Returns the condition for all records of a filter, including those that reads hide. */
      written,
      /** Returns the condition for those that reads return. */
      readable: (filter: Filter<R> | Filter<BaseRecord>) => both(written(filter), visible?.condition() ?? {}),
      /** Returns what a filter requires of the fields, to compare it with the indexes. */
      requirements: (filter: Filter<R>) => requirementsOf(extent, filter, nameField),

      /** Returns a function that returns whether a record is in the list of a filter: within the extent, and with the values that are asked for. */
      wanted(filter: Filter<R> | Filter<BaseRecord>): (record: BaseRecord) => boolean {
        const isMatch = matcherOf(filter);
        return (record) => record.organizationId === extent.organizationId && isWithin(extent, record) && isMatch(record);
      },
    };
  };
}
