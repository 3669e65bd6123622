import type { Schema } from 'mongoose';

/** The indexes by which lists are sorted: each field, over the organization and over one integration. */
export function addSortIndexes(schema: Schema, fields: readonly string[]): void {
  for (const field of fields) {
    schema.index({ organizationId: 1, [field]: 1, _id: 1 });
    schema.index({ organizationId: 1, integrationId: 1, [field]: 1, _id: 1 });
  }
}
