import type { Schema } from 'mongoose';

/** Adds the indexes for sorted lists: for each field, within the organization and within one integration. */
export function addSortIndexes(schema: Schema, fields: readonly string[]): void {
  for (const field of fields) {
    schema.index({ organizationId: 1, [field]: 1, _id: 1 });
    schema.index({ organizationId: 1, integrationId: 1, [field]: 1, _id: 1 });
  }
}
