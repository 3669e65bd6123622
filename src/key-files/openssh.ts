import { type Curve, curves, expectPoint, expectRsaNumbers, expectScalar } from './algorithms.ts';
import { bitLength, isSame, Refused } from './der.ts';
import { decodeBase64, expectRsaPrivateNumbers } from './read.ts';

const MAGIC = Buffer.from('openssh-key-v1\0');
const ARMOR = /^\s*-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/;
/** SSH's names of the allowed curves (RFC 5656, section 10.1). */
const sshCurves: Readonly<Record<Curve, string>> = { 'P-256': 'nistp256', 'P-384': 'nistp384', 'P-521': 'nistp521' };
const ED25519_BYTES = 32;

/** Whether the text says that it is a private key in OpenSSH's own format. */
export function isOpenSsh(text: string): boolean {
  return text.includes('-----BEGIN OPENSSH PRIVATE KEY-----');
}

/**
 * Reads one private key in OpenSSH's own format (PROTOCOL.key of OpenSSH), and returns its public key as SSH has it. Nothing is computed:
 * a file with a passphrase, whose count of bcrypt rounds its maker chose, is refused.
 *
 * @throws Refused
 */
export function readOpenSsh(text: string): Buffer {
  const armored = ARMOR.exec(text)?.[1];
  if (armored === undefined) throw new Refused();
  const bytes = decodeBase64(armored);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new Refused();
  const file = new Reader(bytes.subarray(MAGIC.length));
  const [cipher, kdf, kdfOptions] = [file.text(), file.text(), file.string()];
  if (cipher !== 'none' || kdf !== 'none' || kdfOptions.length > 0 || file.uint32() !== 1) throw new Refused();
  const blob = file.string();
  const section = new Reader(file.string());
  file.expectEnd();
  // The private section begins with two equal numbers, which reveal a wrong passphrase or a damaged file.
  const [check, same] = [section.uint32(), section.uint32()];
  if (check !== same) throw new Refused();
  const type = section.text();
  const written = type === 'ssh-ed25519' ? ed25519(section) : type === 'ssh-rsa' ? rsa(section) : ecdsa(type, section);
  if (!isSame(written, blob)) throw new Refused();
  section.string(); // The comment.
  section.expectPadding();
  return written;
}

function ed25519(section: Reader): Buffer {
  const [publicPart, both] = [section.string(), section.string()];
  if (publicPart.length !== ED25519_BYTES || both.length !== 2 * ED25519_BYTES || !isSame(both.subarray(ED25519_BYTES), publicPart))
    throw new Refused();
  return ed25519Blob(publicPart);
}

function rsa(section: Reader): Buffer {
  const [n, e, d, qInverse, p, q] = Array.from({ length: 6 }, () => section.positiveInteger()) as Six<Buffer>;
  // The two exponents that this format leaves out are not larger than the primes, which stand for them here.
  expectRsaPrivateNumbers([n, e, d, p, q, p, q, qInverse]);
  return rsaBlob(e, n);
}
type Six<T> = [T, T, T, T, T, T];

function ecdsa(type: string, section: Reader): Buffer {
  const [curve] = Object.entries(sshCurves).find(([, name]) => type === `ecdsa-sha2-${name}`) ?? [];
  if (!curve || section.text() !== sshCurves[curve as Curve]) throw new Refused();
  const [point, scalar] = [section.string(), section.positiveInteger()];
  expectPoint(curve as Curve, point);
  expectScalar(curve as Curve, scalar);
  return ecdsaBlob(curve as Curve, point);
}

/** Writes an ed25519 private key in OpenSSH's own format, the only one for ed25519 that every SSH client reads. */
export function writeOpenSsh(publicPart: Buffer, privatePart: Buffer, check: Buffer): string {
  const blob = ed25519Blob(publicPart);
  const body = [check, check, blob, string(Buffer.concat([privatePart, publicPart])), string('')];
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -Buffer.concat(body).length & 7);
  const file = [MAGIC, string('none'), string('none'), string(''), uint32(1), string(blob), string(Buffer.concat([...body, padding]))];
  const lines =
    Buffer.concat(file)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** Writes a public key as SSH clients show it: `ssh-ed25519 AAAA…`. */
export function sshText(blob: Buffer): string {
  return `${new Reader(blob).text()} ${blob.toString('base64')}`;
}

export function ed25519Blob(publicPart: Uint8Array): Buffer {
  return Buffer.concat([string('ssh-ed25519'), string(publicPart)]);
}

export function rsaBlob(exponent: Uint8Array, modulus: Uint8Array): Buffer {
  expectRsaNumbers(modulus, exponent);
  return Buffer.concat([string('ssh-rsa'), integer(exponent), integer(modulus)]);
}

export function ecdsaBlob(curve: Curve, point: Uint8Array): Buffer {
  return Buffer.concat([string(`ecdsa-sha2-${sshCurves[curve]}`), string(sshCurves[curve]), string(point)]);
}

export function isCurve(name: string | undefined): name is Curve {
  return name !== undefined && Object.hasOwn(curves, name);
}

// The data types of RFC 4251, section 5.

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  text(): string {
    return this.string().toString('latin1');
  }

  /** A number without the zero before a set highest bit. @throws Refused when it is not positive, or has other zeros before it */
  positiveInteger(): Buffer {
    const bytes = this.string();
    const [first, second = 0] = bytes;
    if (first === undefined || first >= 0x80 || (first === 0 && second < 0x80)) throw new Refused();
    return first === 0 ? bytes.subarray(1) : bytes;
  }

  expectEnd(): void {
    if (this.#at !== this.#bytes.length) throw new Refused();
  }

  /** The rest fills up a block of a cipher, which has 8 bytes if there is none: 1, 2, 3, … */
  expectPadding(): void {
    const rest = this.#bytes.subarray(this.#at);
    if (rest.length > 7 || this.#bytes.length % 8 !== 0 || rest.some((byte, index) => byte !== index + 1)) throw new Refused();
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Refused();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A positive integer, with a leading zero byte if the highest bit is set, because that bit is the sign. */
function integer(bytes: Uint8Array): Buffer {
  return string(bitLength(bytes) % 8 === 0 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}
