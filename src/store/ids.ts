import { Types } from 'mongoose';

/** Returns a new id. */
export function newId(): string {
  return new Types.ObjectId().toHexString();
}
