import { createPublicKey, generateKeyPair, type JsonWebKey, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { parsePrivateKey } from '../fields/formats.ts';
import { Redacted } from '../redacted.ts';

const MAGIC = Buffer.from('openssh-key-v1\0');
const ARMOR = /^\s*-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/;

/** Returns the public key (`ssh-ed25519 AAAA…`) of an unencrypted private key in PEM or OpenSSH format; undefined for any other text. */
export function sshPublicKey(plainKey: string): string | undefined {
  const blob = blobOfOpenSsh(plainKey) ?? blobOfPem(plainKey);
  return blob && `${takeString(blob, 0).toString('latin1')} ${blob.toString('base64')}`;
}

/** Generates an ed25519 private key in OpenSSH format, the only format for ed25519 that every SSH client reads. */
export async function generateSshKey(): Promise<Redacted> {
  const jwk = (await promisify(generateKeyPair)('ed25519')).privateKey.export({ format: 'jwk' });
  const publicPart = fromBase64Url(jwk.x);
  const blob = Buffer.concat([string('ssh-ed25519'), string(publicPart)]);
  const check = randomBytes(4);
  const body = [check, check, blob, string(Buffer.concat([fromBase64Url(jwk.d), publicPart])), string('')];
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -Buffer.concat(body).length & 7);
  const file = [MAGIC, string('none'), string('none'), string(''), uint32(1), string(blob), string(Buffer.concat([...body, padding]))];
  const lines =
    Buffer.concat(file)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return new Redacted(`-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`);
}

/** openssh-key-v1 (PROTOCOL.key of OpenSSH): cipher, kdf, kdf options, count, public key, private keys. */
function blobOfOpenSsh(text: string): Buffer | undefined {
  const armored = ARMOR.exec(text)?.[1];
  if (armored === undefined) return undefined;
  const file = Buffer.from(armored, 'base64');
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  try {
    let at = MAGIC.length;
    const next = () => {
      const part = takeString(file, at);
      at += 4 + part.length;
      return part;
    };
    const [cipher] = [next(), next(), next()];
    if (cipher?.toString() !== 'none' || file.readUInt32BE(at) !== 1) return undefined;
    at += 4;
    const [blob, privateSection] = [next(), next()];
    // The private section begins with two equal numbers, which reveal a wrong passphrase or a damaged file.
    return privateSection.readUInt32BE(0) === privateSection.readUInt32BE(4) ? blob : undefined;
  } catch {
    return undefined;
  }
}

function blobOfPem(text: string): Buffer | undefined {
  const key = parsePrivateKey(text);
  if (!key || !['ed25519', 'rsa', 'ec'].includes(key.asymmetricKeyType ?? '')) return undefined;
  const jwk: JsonWebKey = createPublicKey(key).export({ format: 'jwk' });
  if (jwk.kty === 'RSA') return Buffer.concat([string('ssh-rsa'), integer(fromBase64Url(jwk.e)), integer(fromBase64Url(jwk.n))]);
  if (jwk.crv === 'Ed25519') return Buffer.concat([string('ssh-ed25519'), string(fromBase64Url(jwk.x))]);
  const curve = { 'P-256': 'nistp256', 'P-384': 'nistp384', 'P-521': 'nistp521' }[jwk.crv ?? ''];
  if (!curve) return undefined;
  const point = Buffer.concat([Buffer.from([4]), fromBase64Url(jwk.x), fromBase64Url(jwk.y)]);
  return Buffer.concat([string(`ecdsa-sha2-${curve}`), string(curve), string(point)]);
}

// The data types of RFC 4251, section 5.

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A positive integer, with a leading zero byte if the highest bit is set, because that bit is the sign. */
function integer(bytes: Buffer): Buffer {
  return string((bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

function takeString(bytes: Buffer, at: number): Buffer {
  const end = at + 4 + bytes.readUInt32BE(at);
  if (end > bytes.length) throw new RangeError('The key is truncated.');
  return bytes.subarray(at + 4, end);
}

function fromBase64Url(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url');
}
