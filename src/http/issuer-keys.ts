import { areRsaNumbers, edwardsCurves, curves as ellipticCurves } from '../key-files/algorithms.ts';

/** How much of the issuer's answer is read. Twenty RSA keys with their certificates have about 60 KB. */
const BODY_MAX_BYTES = 256 * 1024;
/** An issuer has two or three keys, and more while it replaces them. */
const KEYS_MAX = 50;

/** The allowed curves (RFC 7518, section 6.2.1, and RFC 8037), with the length of a coordinate in bytes. */
const curves: Readonly<Record<string, { readonly kty: string; readonly bytes: number }>> = Object.fromEntries([
  ...Object.entries(ellipticCurves).map(([name, { bytes }]) => [name, { kty: 'EC', bytes }]),
  ...Object.entries(edwardsCurves).map(([name, { bytes }]) => [name, { kty: 'OKP', bytes }]),
]);

type Json = Readonly<Record<string, unknown>>;

/**
 * Fetches the issuer's keys (RFC 7517), and returns only keys whose numbers have an allowed size, with the members that verifying needs:
 * importing a key, and each verification, computes with numbers of any size. Other keys are left out, as those of unknown types are.
 *
 * @throws Error when the set is too large, or none
 */
export async function fetchIssuerKeys(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, options);
  if (!response.ok) return response;
  const set: unknown = JSON.parse(await readBody(response));
  const keys = (set as Json | null)?.keys;
  if (!Array.isArray(keys) || keys.length > KEYS_MAX) throw new Error('The issuer does not publish a set of keys of an allowed size.');
  return Response.json({ keys: keys.flatMap((key) => allowedKey(key) ?? []) });
}

async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    // Leaving the loop cancels the rest of the body.
    if (length > BODY_MAX_BYTES) throw new Error('The issuer’s keys are too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Returns a public key with an allowed algorithm and numbers of an allowed size, or undefined. */
export function allowedKey(key: unknown): Json | undefined {
  if (typeof key !== 'object' || key === null) return undefined;
  const { kty, crv, n, e, x, y, kid, alg, use, key_ops } = key as Json;
  const about = { kty, kid, alg, use, key_ops };
  if (kty === 'RSA') return isRsa(n, e) ? { ...about, n, e } : undefined;
  const curve = typeof crv === 'string' && Object.hasOwn(curves, crv) ? curves[crv]! : undefined;
  if (curve?.kty !== kty || bytesIn(x)?.length !== curve?.bytes) return undefined;
  if (kty === 'OKP') return { ...about, crv, x };
  return bytesIn(y)?.length === curve?.bytes ? { ...about, crv, x, y } : undefined;
}

function isRsa(n: unknown, e: unknown): boolean {
  const [modulus, exponent] = [bytesIn(n), bytesIn(e)];
  return modulus !== undefined && exponent !== undefined && areRsaNumbers(withoutZeros(modulus), withoutZeros(exponent));
}

/** Decodes base64url (RFC 7515, section 2). */
function bytesIn(value: unknown): Buffer | undefined {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value)) return undefined;
  return Buffer.from(value, 'base64url');
}

function withoutZeros(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? Buffer.alloc(0) : bytes.subarray(first);
}
