import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { OutboundError } from './error.ts';
import type { OutboundResponse } from './index.ts';

/** What undoes each content coding (RFC 9110, section 8.4.1). */
const decoders: ReadonlyMap<string, () => ReturnType<typeof createGunzip>> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * Reads the body of an answer, and undoes its content coding. `maxBytes` limits it before and after that.
 * @throws OutboundError when it is larger, does not arrive whole or cannot be decompressed
 */
export async function readAll({ headers, body }: OutboundResponse, maxBytes: number): Promise<Buffer> {
  const codings = headers
    .filter(([name]) => name.toLowerCase() === 'content-encoding')
    .flatMap(([, value]) => value.split(','))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  try {
    if (codings.length === 0) return await bounded(body, maxBytes);
    const decoder = decoders.get(codings[0]!);
    // Nobody compresses twice, except to make much of little.
    if (!decoder || codings.length > 1) throw new OutboundError('INVALID_ANSWER', false);
    const compressed = await bounded(body, maxBytes);
    const plain = decoder();
    plain.end(compressed);
    return await bounded(plain, maxBytes).catch((error: unknown) => {
      throw error instanceof OutboundError ? error : new OutboundError('INVALID_ANSWER', false);
    });
  } finally {
    body.destroy();
  }
}

async function bounded(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop destroys the stream.
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > maxBytes) throw new OutboundError('TOO_LARGE', false);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
