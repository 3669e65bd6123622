import {
  type Curve,
  curves,
  EC_PUBLIC_KEY,
  type EdwardsCurve,
  edwardsCurves,
  expectPoint,
  expectRsaNumbers,
  expectScalar,
  expectSignatureAlgorithm,
  isOdd,
  keyAlgorithm,
  namedCurve,
  RSA_ENCRYPTION,
} from './algorithms.ts';
import {
  bitLength,
  der,
  type Element,
  expectSmallInteger,
  expectTag,
  INTEGER,
  isSame,
  OCTET_STRING,
  partsOf,
  positiveInteger,
  Refused,
  readDer,
  SEQUENCE,
  wholeBytes,
} from './der.ts';

// Reads what callers send without any arithmetic on its numbers. OpenSSL computes while it decodes, with numbers of any size: a DSA key of
// 16,000 characters keeps it busy for minutes. So it gets only what was read here, and not the caller's bytes but the key written anew
// from its checked parts. A certificate cannot be written anew, because its fingerprint would change; it is DER, without the freedoms of BER
// that two parsers could understand differently.

/** A private key that was read, in a form that OpenSSL decodes. */
export interface PrivateKey {
  readonly type: 'rsa' | 'ec' | EdwardsCurve;
  /** The curve, if the type is `ec`. */
  readonly curve?: Curve;
  readonly encoding: 'pkcs1' | 'sec1' | 'pkcs8';
  readonly bytes: Buffer;
}

/** A public key that was read, as a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). */
export interface PublicKey {
  readonly type: 'rsa' | 'ec' | EdwardsCurve;
  /** The curve, if the type is `ec`. */
  readonly curve?: Curve;
  readonly bytes: Buffer;
}

/** A certificate that was read. */
export interface Certificate {
  readonly bytes: Uint8Array;
  readonly publicKey: PublicKey;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The maximum number of certificates in one text: a chain or the trusted authorities. */
export const CERTIFICATES_MAX = 10;
/** An RSA private key with the largest modulus has 4.7 KB. */
const KEY_MAX_BYTES = 8 * 1024;
/** A certificate with a hundred host names has about 5 KB. */
const CERTIFICATE_MAX_BYTES = 16 * 1024;
/** A signature of RSA with the largest modulus, or a bit more. */
const SIGNATURE_MAX_BYTES = 1_100;
/** RFC 5280, section 4.1.2.2, allows 20 bytes. Some authorities take more. */
const SERIAL_NUMBER_MAX_BYTES = 32;

interface Block {
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** Reads a text that consists of PEM blocks (RFC 7468) and white space. @throws Refused for anything else, such as headers of encryption */
function readPem(text: string, max: number): Block[] {
  const blocks = [...text.matchAll(/\s*-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----\s*/gy)];
  if (blocks.length === 0 || blocks.length > max) throw new Refused();
  if (blocks.reduce((sum, [{ length }]) => sum + length, 0) !== text.length) throw new Refused();
  return blocks.map(([, label, body]) => {
    const bytes = decodeBase64(body!);
    if (bytes.length > (label === 'CERTIFICATE' ? CERTIFICATE_MAX_BYTES : KEY_MAX_BYTES)) throw new Refused();
    return { label: label!, bytes };
  });
}

/** @throws Refused for base64 with a part that stands for nothing */
export function decodeBase64(text: string): Buffer {
  const compact = text.replace(/\s/g, '');
  const bytes = Buffer.from(compact, 'base64');
  if (bytes.toString('base64') !== compact) throw new Refused();
  return bytes;
}

/** Reads one private key without a passphrase: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) or SEC 1 (RFC 5915). @throws Refused */
export function readPrivateKey(text: string): PrivateKey {
  const [block] = readPem(text, 1);
  return privateKeyIn(block!);
}

function privateKeyIn({ label, bytes }: Block): PrivateKey {
  if (label === 'RSA PRIVATE KEY') return rsaPrivateKey(readDer(bytes));
  if (label === 'EC PRIVATE KEY') return ecPrivateKey(readDer(bytes), undefined);
  if (label !== 'PRIVATE KEY') throw new Refused();
  const [version, algorithm, key, ...rest] = partsOf(readDer(bytes), SEQUENCE, 3, 5);
  expectSmallInteger(version, 0, 1);
  if (rest.some(({ tag }) => tag !== 'context 0' && tag !== 'context 1')) throw new Refused();
  const known = keyAlgorithm(algorithm);
  const inner = readDer(expectTag(key, OCTET_STRING).content);
  if (known.type === 'rsa') return rsaPrivateKey(inner);
  if (known.type === 'ec') return ecPrivateKey(inner, known.curve);
  return edwardsPrivateKey(inner, known.type);
}

/** The numbers of an RSA key. Their products are not computed: that their sizes fit bounds what OpenSSL can do with them. */
function rsaPrivateKey(element: Element): PrivateKey {
  const [version, ...numbers] = partsOf(element, SEQUENCE, 9);
  expectSmallInteger(version, 0);
  const read = numbers.map(positiveInteger);
  expectRsaPrivateNumbers(read);
  return { type: 'rsa', encoding: 'pkcs1', bytes: der.encode(der.sequence(der.integer(0), ...read.map(der.integer))) };
}

/** The numbers in the order of RFC 8017, appendix A.1.2. @throws Refused */
export function expectRsaPrivateNumbers(numbers: readonly Uint8Array[]): void {
  const [n, e, d, p, q, dp, dq, qInverse] = numbers as [Uint8Array, ...Uint8Array[]];
  expectRsaNumbers(n, e!);
  const [ofN, ofP, ofQ] = [bitLength(n), bitLength(p!), bitLength(q!)];
  // A product has as many bits as both factors together, or one less.
  const fits = (ofP + ofQ === ofN || ofP + ofQ === ofN + 1) && Math.min(ofP, ofQ) >= ofN / 4 && isOdd(p!) && isOdd(q!);
  const others = [[d!, ofN] as const, [dp!, ofP] as const, [dq!, ofQ] as const, [qInverse!, ofP] as const];
  if (!fits || others.some(([number, bits]) => bitLength(number) > bits)) throw new Refused();
}

/** Leaves out the public key, which may be another's: OpenSSL computes it, in the time of one signature. */
function ecPrivateKey(element: Element, outerCurve: Curve | undefined): PrivateKey {
  const [version, key, ...rest] = partsOf(element, SEQUENCE, 2, 4);
  expectSmallInteger(version, 1);
  const scalar = expectTag(key, OCTET_STRING).content;
  const parameters = rest.find(({ tag }) => tag === 'context 0');
  const point = rest.find(({ tag }) => tag === 'context 1');
  if (rest.length !== (parameters ? 1 : 0) + (point ? 1 : 0)) throw new Refused();
  const innerCurve = parameters && namedCurve(partsOf(parameters, 'context 0', 1)[0]);
  const curve = outerCurve ?? innerCurve;
  if (!curve || (innerCurve && innerCurve !== curve)) throw new Refused();
  expectScalar(curve, scalar);
  if (point) expectPoint(curve, wholeBytes(partsOf(point, 'context 1', 1)[0]));
  const padded = Buffer.concat([Buffer.alloc(curves[curve].bytes - scalar.length), scalar]);
  const algorithm = der.sequence(der.oid(EC_PUBLIC_KEY), der.oid(curves[curve].oid));
  const inner = der.encode(der.sequence(der.integer(1), der.octetString(padded)));
  return {
    type: 'ec',
    curve,
    encoding: 'pkcs8',
    bytes: der.encode(der.sequence(der.integer(0), algorithm, der.octetString(inner))),
  };
}

function edwardsPrivateKey(element: Element, type: EdwardsCurve): PrivateKey {
  const { content } = expectTag(element, OCTET_STRING);
  const { oid, bytes } = edwardsCurves[type];
  if (content.length !== bytes) throw new Refused();
  const inner = der.encode(der.octetString(content));
  return {
    type,
    encoding: 'pkcs8',
    bytes: der.encode(der.sequence(der.integer(0), der.sequence(der.oid(oid)), der.octetString(inner))),
  };
}

/** Reads the public key of one public key, private key or certificate. @throws Refused */
export function readAnyKey(text: string): PrivateKey | PublicKey {
  const [block] = readPem(text, 1);
  const { label, bytes } = block!;
  if (label === 'PUBLIC KEY') return subjectPublicKey(readDer(bytes));
  if (label === 'RSA PUBLIC KEY') return rsaPublicKey(readDer(bytes));
  if (label === 'CERTIFICATE') return certificateIn(bytes).publicKey;
  return privateKeyIn(block!);
}

function subjectPublicKey(element: Element | undefined): PublicKey {
  const [algorithm, key] = partsOf(element, SEQUENCE, 2);
  const known = keyAlgorithm(algorithm);
  const bytes = wholeBytes(key);
  if (known.type === 'rsa') return rsaPublicKey(readDer(bytes));
  if (known.type === 'ec') {
    expectPoint(known.curve, bytes);
    return { ...publicKey('ec', [EC_PUBLIC_KEY, curves[known.curve].oid], bytes), curve: known.curve };
  }
  if (bytes.length !== edwardsCurves[known.type].bytes) throw new Refused();
  return publicKey(known.type, [edwardsCurves[known.type].oid], bytes);
}

function rsaPublicKey(element: Element): PublicKey {
  const [modulus, exponent] = partsOf(element, SEQUENCE, 2).map(positiveInteger) as [Uint8Array, Uint8Array];
  expectRsaNumbers(modulus, exponent);
  return publicKey('rsa', [RSA_ENCRYPTION], der.encode(der.sequence(der.integer(modulus), der.integer(exponent))));
}

function publicKey(type: PublicKey['type'], oids: readonly string[], bytes: Uint8Array): PublicKey {
  const algorithm = der.sequence(...oids.map(der.oid), ...(type === 'rsa' ? [der.null()] : []));
  return { type, bytes: der.encode(der.sequence(algorithm, der.bitString(bytes))) };
}

/** Reads one to ten certificates and nothing else. @throws Refused */
export function readCertificates(text: string): [Certificate, ...Certificate[]] {
  const blocks = readPem(text, CERTIFICATES_MAX);
  if (blocks.some(({ label }) => label !== 'CERTIFICATE')) throw new Refused();
  return blocks.map(({ bytes }) => certificateIn(bytes)) as [Certificate, ...Certificate[]];
}

/** RFC 5280, section 4.1. */
function certificateIn(bytes: Uint8Array): Certificate {
  const [signed, algorithm, signature] = partsOf(readDer(bytes), SEQUENCE, 3);
  if (wholeBytes(signature).length > SIGNATURE_MAX_BYTES) throw new Refused();
  const parts = partsOf(signed, SEQUENCE, 6, 10);
  const [serialNumber, copy, issuer, validity, subject, key, ...rest] = parts[0]?.tag === 'context 0' ? parts.slice(1) : parts;
  if (parts[0]?.tag === 'context 0') expectSmallInteger(partsOf(parts[0], 'context 0', 1)[0], 0, 1, 2);
  if (expectTag(serialNumber, INTEGER).content.length > SERIAL_NUMBER_MAX_BYTES) throw new Refused();
  expectSignatureAlgorithm(algorithm, copy);
  for (const name of [issuer, subject]) expectTag(name, SEQUENCE);
  const [notBefore, notAfter] = partsOf(validity, SEQUENCE, 2).map(instant) as [Date, Date];
  const publicKey = subjectPublicKey(key);
  // What was read must be all that the bytes say of the key, because OpenSSL reads the certificate itself.
  if (!isSame(publicKey.bytes, key!.bytes)) throw new Refused();
  const tags = rest.map(({ tag }) => tag);
  if (tags.some((tag, index) => !/^context [123]$/.test(tag) || tags.indexOf(tag) !== index)) throw new Refused();
  return { bytes, publicKey, notBefore, notAfter };
}

/** Reads a UTCTime or a GeneralizedTime, as RFC 5280, section 4.1.2.5, restricts them. @throws Refused */
function instant({ tag, content }: Element): Date {
  const text = Buffer.from(content).toString('latin1');
  const full = tag === 'universal 23' ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : tag === 'universal 24' ? text : '';
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) throw new Refused();
  return date;
}
