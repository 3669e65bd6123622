import { areRsaNumbers, edwardsCurves, curves as ellipticCurves } from '../key-files/algorithms.ts';

/** The allowed curves (RFC 7518, section 6.2.1, and RFC 8037), with the length of a coordinate in bytes. */
const curves: Readonly<Record<string, { readonly kty: string; readonly bytes: number }>> = Object.fromEntries([
  ...Object.entries(ellipticCurves).map(([name, { bytes }]) => [name, { kty: 'EC', bytes }]),
  ...Object.entries(edwardsCurves).map(([name, { bytes }]) => [name, { kty: 'OKP', bytes }]),
]);

type Json = Readonly<Record<string, unknown>>;

/**
 * Returns a public key (RFC 7517) with the members that verifying needs, or undefined unless its algorithm and the sizes of its numbers are
 * allowed: importing a key, and each verification, computes with numbers of any size.
 */
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
