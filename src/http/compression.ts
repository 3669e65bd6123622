import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Coding } from './negotiation.ts';

/** Compresses better than gzip, in about the same time. */
const BROTLI_QUALITY = 5;
/** Smaller content is not compressed: it fits into one packet anyway. */
const COMPRESSED_BYTES_MIN = 1_024;

const compress: Readonly<Record<Coding, (content: Uint8Array) => Promise<Uint8Array>>> = {
  br: (content) => promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }),
  gzip: promisify(gzip),
};

/** Compresses content on another thread. Returns undefined if it does not become smaller. */
export async function compressed(content: Uint8Array, coding: Coding): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (content.byteLength < COMPRESSED_BYTES_MIN) return undefined;
  const smaller = await compress[coding](content);
  return smaller.byteLength < content.byteLength ? new Uint8Array(smaller) : undefined;
}
