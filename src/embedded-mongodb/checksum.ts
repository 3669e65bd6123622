import { crc32 } from 'node:zlib';
import { CommandError } from './errors.ts';

/** Each stored value begins with a checksum of its key and itself: a changed byte is an error, not another value. */
const checksumBytes = 4;

const checksumOf = (key: Uint8Array, value: Uint8Array) => crc32(value, crc32(key));

/** Returns a value in the form that is stored. */
export function sealed(key: Buffer, value: Buffer): Buffer {
  const stored = Buffer.allocUnsafe(checksumBytes + value.length);
  stored.writeUInt32LE(checksumOf(key, value));
  stored.set(value, checksumBytes);
  return stored;
}

/** Returns the value of a stored entry. @throws CommandError when it is damaged */
export function unsealed(key: Buffer, stored: Buffer): Buffer {
  const value = stored.subarray(checksumBytes);
  if (stored.length >= checksumBytes && stored.readUInt32LE() === checksumOf(key, value)) return value;
  throw damaged('an entry does not have its checksum');
}

/** Returns the error for a data file that does not contain what was written. */
export function damaged(what: string): CommandError {
  return new CommandError(301, `the data file is damaged: ${what}. Restore a backup; the command 'check' lists the damage.`);
}
