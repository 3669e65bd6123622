import { bitLength, type Element, isSame, NULL, objectIdentifier, oid, partsOf, Refused, SEQUENCE } from './der.ts';

/** The bounds of RSA. A public exponent has 32 bits at most, as in Windows and Go; the usual one has 17. */
export const RSA_MIN_BITS = 2048;
const RSA_MAX_BITS = 8192;
const RSA_EXPONENT_MAX_BITS = 32;

/** The allowed elliptic curves, by the name that JSON Web Keys have for them (RFC 7518, section 6.2.1.1). */
export const curves = {
  'P-256': {
    oid: '1.2.840.10045.3.1.7',
    bytes: 32,
    order: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  },
  'P-384': {
    oid: '1.3.132.0.34',
    bytes: 48,
    order: 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  },
  'P-521': {
    oid: '1.3.132.0.35',
    bytes: 66,
    order: `01${'ff'.repeat(32)}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
  },
} as const;
export type Curve = keyof typeof curves;

/** The allowed Edwards curves (RFC 8410), with the length of a private and of a public key in bytes. */
export const edwardsCurves = {
  Ed25519: { oid: '1.3.101.112', bytes: 32 },
  Ed448: { oid: '1.3.101.113', bytes: 57 },
} as const;
export type EdwardsCurve = keyof typeof edwardsCurves;

export const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
export const EC_PUBLIC_KEY = '1.2.840.10045.2.1';

/** An allowed algorithm of a key. */
export type KeyAlgorithm = { readonly type: 'rsa' } | { readonly type: 'ec'; readonly curve: Curve } | { readonly type: EdwardsCurve };

/** Reads the AlgorithmIdentifier of a key. Explicit curve parameters are refused: only names of curves are taken. @throws Refused */
export function keyAlgorithm(element: Element | undefined): KeyAlgorithm {
  const [algorithm, parameters] = partsOf(element, SEQUENCE, 1, 2);
  const id = objectIdentifier(algorithm);
  if (id === oid(RSA_ENCRYPTION)) {
    refuseParameters(parameters);
    return { type: 'rsa' };
  }
  if (id === oid(EC_PUBLIC_KEY)) return { type: 'ec', curve: namedCurve(parameters) };
  const [type] = Object.entries(edwardsCurves).find(([, curve]) => oid(curve.oid) === id) ?? [];
  if (!type || parameters) throw new Refused();
  return { type: type as EdwardsCurve };
}

/** @throws Refused when it is not the name of an allowed curve */
export function namedCurve(element: Element | undefined): Curve {
  const id = objectIdentifier(element);
  const [name] = Object.entries(curves).find(([, curve]) => oid(curve.oid) === id) ?? [];
  if (!name) throw new Refused();
  return name as Curve;
}

/** @throws Refused when there are parameters other than NULL */
function refuseParameters(parameters: Element | undefined): void {
  if (parameters && (parameters.tag !== NULL || parameters.content.length > 0)) throw new Refused();
}

/** Whether a modulus and a public exponent, both without zeros before them, are within bounds, and odd. */
export function areRsaNumbers(modulus: Uint8Array, exponent: Uint8Array): boolean {
  const [ofModulus, ofExponent] = [bitLength(modulus), bitLength(exponent)];
  // The only odd number of one bit is 1, which is no exponent.
  const isInBounds = ofModulus >= RSA_MIN_BITS && ofModulus <= RSA_MAX_BITS && ofExponent >= 2 && ofExponent <= RSA_EXPONENT_MAX_BITS;
  return isInBounds && isOdd(modulus) && isOdd(exponent);
}

/** @throws Refused when they are not */
export function expectRsaNumbers(modulus: Uint8Array, exponent: Uint8Array): void {
  if (!areRsaNumbers(modulus, exponent)) throw new Refused();
}

export function isOdd(bytes: Uint8Array): boolean {
  return ((bytes.at(-1) ?? 0) & 1) === 1;
}

/** @throws Refused when it is not an uncompressed point of the curve's size */
export function expectPoint(curve: Curve, point: Uint8Array): void {
  if (point.length !== 1 + 2 * curves[curve].bytes || point[0] !== 4) throw new Refused();
}

/** @throws Refused when it is not a number from 1 to the order of the curve, in as many bytes as the order has at most */
export function expectScalar(curve: Curve, scalar: Uint8Array): void {
  const { bytes, order } = curves[curve];
  if (scalar.length > bytes || scalar.length === 0) throw new Refused();
  const padded = Buffer.concat([Buffer.alloc(bytes - scalar.length), scalar]);
  if (padded.every((byte) => byte === 0) || Buffer.compare(padded, Buffer.from(order, 'hex')) >= 0) throw new Refused();
}

/** The allowed signature algorithms of certificates. Nothing here verifies a signature; SHA-1 remains in roots. */
const signatureAlgorithms = new Set(
  [
    ...['1.2.840.113549.1.1.5', '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13'], // RSA with SHA-1 and SHA-2
    ...['1.2.840.10045.4.1', '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'], // ECDSA with SHA-1 and SHA-2
    ...Object.values(edwardsCurves).map((curve) => curve.oid),
  ].map(oid),
);
const RSASSA_PSS = oid('1.2.840.113549.1.1.10');
/** The parameters of RSASSA-PSS name two hash functions and the length of the salt. */
const PSS_PARAMETERS_MAX_BYTES = 128;

/** Reads the AlgorithmIdentifier of a certificate's signature, and of its copy inside, which must be the same. @throws Refused */
export function expectSignatureAlgorithm(element: Element | undefined, copy: Element | undefined): void {
  const [algorithm, parameters] = partsOf(element, SEQUENCE, 1, 2);
  const id = objectIdentifier(algorithm);
  if (id === RSASSA_PSS) {
    if (parameters?.tag !== SEQUENCE || parameters.bytes.length > PSS_PARAMETERS_MAX_BYTES) throw new Refused();
  } else {
    if (!signatureAlgorithms.has(id)) throw new Refused();
    refuseParameters(parameters);
  }
  if (!copy || !isSame(element!.bytes, copy.bytes)) throw new Refused();
}
