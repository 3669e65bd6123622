import {
  type BaseBlock,
  BitString,
  Constructed,
  Integer,
  Null,
  ObjectIdentifier,
  OctetString,
  Sequence,
  Set as SetOf,
  UTCTime,
  Utf8String,
} from 'asn1js';

// Keys and certificates that OpenSSL would compute with for a long time, or that two parsers could understand differently. They are written
// with asn1js, because OpenSSL would have to compute to write them.

type Block = BaseBlock;

export const seq = (...value: Block[]) => new Sequence({ value });
export const oid = (value: string) => new ObjectIdentifier({ value });
export const octets = (content: Uint8Array | Block) => new OctetString({ valueHex: arrayOf(content) });
export const bits = (content: Uint8Array | Block) => new BitString({ valueHex: arrayOf(content) });
export const small = (value: number) => new Integer({ value });
const context = (tagNumber: number, ...value: Block[]) => new Constructed({ idBlock: { tagClass: 3, tagNumber }, value });
export const bytesOf = (block: Block) => Buffer.from(block.toBER());

function arrayOf(content: Uint8Array | Block): ArrayBuffer {
  return content instanceof Uint8Array ? Uint8Array.from(content).buffer : content.toBER();
}

/** An odd number of so many bits. */
export function number(length: number): Integer {
  const bytes = Buffer.alloc(Math.ceil(length / 8), 0xff);
  bytes[0] = 0xff >> ((8 - (length % 8)) % 8);
  return new Integer({ valueHex: Uint8Array.from(bytes[0]! & 0x80 ? [0, ...bytes] : bytes).buffer });
}

export function pem(label: string, content: Uint8Array | Block): string {
  const body = Buffer.from(arrayOf(content))
    .toString('base64')
    .match(/.{1,64}/g)!
    .join('\n');
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

const RSA = '1.2.840.113549.1.1.1';
const DSA = '1.2.840.10040.4.1';
const DH = '1.2.840.113549.1.3.1';
const X942_DH = '1.2.840.10046.2.1';
const EC = '1.2.840.10045.2.1';
const P256 = '1.2.840.10045.3.1.7';

const pkcs8 = (algorithm: Sequence, key: Uint8Array | Block) => seq(small(0), algorithm, octets(key));

const dsaParameters = (length: number) => seq(oid(DSA), seq(number(length), number(256), number(length - 1)));
const dhParameters = (length: number, id = DH) => seq(oid(id), seq(number(length), number(length - 1)));
const explicitCurve = (length: number) => {
  const element = octets(Buffer.alloc(length / 8, 0x7f));
  const field = seq(oid('1.2.840.10045.1.1'), number(length));
  return seq(small(1), field, seq(element, element), octets(Buffer.alloc(1 + length / 4, 4)), number(length), small(1));
};

/** The numbers of an RSA private key of so many bits. Its two primes are no primes; nobody may find out. */
export function rsaNumbers(length: number, changes: Partial<Record<'e' | 'n' | 'd' | 'p' | 'q' | 'dp' | 'dq' | 'qInverse', Integer>> = {}) {
  const half = number(length / 2);
  const {
    n = number(length),
    e = small(65_537),
    d = number(length - 1),
    p = half,
    q = half,
    dp = half,
    dq = half,
    qInverse = half,
  } = changes;
  return seq(small(0), n, e, d, p, q, dp, dq, qInverse);
}
const rsaAlgorithm = () => seq(oid(RSA), new Null());
export const rsaKey = (...given: Parameters<typeof rsaNumbers>) => pkcs8(rsaAlgorithm(), rsaNumbers(...given));

const ecPrivate = (...more: Block[]) => seq(small(1), octets(Buffer.alloc(32, 7)), ...more);

/** PKCS#8 under a password, from which a key must be derived first. */
const encrypted = (derivation: Sequence) =>
  seq(
    seq(oid('1.2.840.113549.1.5.13'), seq(derivation, seq(oid('2.16.840.1.101.3.4.1.42'), octets(Buffer.alloc(16))))),
    octets(Buffer.alloc(160)),
  );
const pbkdf2 = seq(oid('1.2.840.113549.1.5.12'), seq(octets(Buffer.alloc(8)), small(0x7fff_ffff)));
const scrypt = seq(oid('1.3.6.1.4.1.11591.4.11'), seq(octets(Buffer.alloc(8)), small(0x4000_0000), small(8), small(1)));

/** The number of bits whose two or three numbers fill a text of so many characters. */
const fitting = (characters: number, numbers: number) => Math.floor(((characters - 400) * 0.73 * 8) / numbers / 8) * 8;

/** Private keys in PEM, none longer than so many characters. */
export function hostileKeys(characters: number, good: string): Record<string, string> {
  const indefinite = Buffer.concat([Buffer.from([0x30, 0x80]), bytesOf(rsaKey(2048)).subarray(4), Buffer.alloc(2)]);
  const large = Math.min(16_384, fitting(characters, 5));
  const all: Record<string, string> = {
    'a DSA key': pem('PRIVATE KEY', pkcs8(dsaParameters(fitting(characters, 2)), number(256))),
    'a DSA key in its old form': pem(
      'DSA PRIVATE KEY',
      seq(small(0), number(fitting(characters, 3)), number(256), number(2048), number(2048), number(255)),
    ),
    'a DH key': pem('PRIVATE KEY', pkcs8(dhParameters(fitting(characters, 2)), number(256))),
    'an X9.42 DH key': pem('PRIVATE KEY', pkcs8(dhParameters(fitting(characters, 2), X942_DH), number(256))),
    'DH parameters': pem('DH PARAMETERS', dhParameters(fitting(characters, 2))),
    'an EC key with an explicit curve': pem('PRIVATE KEY', pkcs8(seq(oid(EC), explicitCurve(1024)), ecPrivate())),
    'an EC key in SEC 1 with an explicit curve': pem('EC PRIVATE KEY', ecPrivate(context(0, explicitCurve(1024)))),
    'an EC key whose inner curve is explicit': pem(
      'PRIVATE KEY',
      pkcs8(seq(oid(EC), oid(P256)), ecPrivate(context(0, explicitCurve(1024)))),
    ),
    'an EC key on a binary curve': pem('PRIVATE KEY', pkcs8(seq(oid(EC), oid('1.3.132.0.39')), ecPrivate())),
    'an EC key of no curve': pem('EC PRIVATE KEY', ecPrivate()),
    'an EC key that is too large for its curve': pem(
      'PRIVATE KEY',
      pkcs8(seq(oid(EC), oid(P256)), seq(small(1), octets(Buffer.alloc(512, 7)))),
    ),
    'an EC key that is zero': pem('PRIVATE KEY', pkcs8(seq(oid(EC), oid(P256)), seq(small(1), octets(Buffer.alloc(32))))),
    'an RSA key that is too large': pem('PRIVATE KEY', rsaKey(large)),
    'an RSA key that is too large, in PKCS#1': pem('RSA PRIVATE KEY', rsaNumbers(large)),
    'an RSA key of 1024 bits': pem('PRIVATE KEY', rsaKey(1024)),
    'an RSA key with a huge exponent': pem('PRIVATE KEY', rsaKey(2048, { e: number(2040) })),
    'an RSA key with an exponent of 33 bits': pem('PRIVATE KEY', rsaKey(2048, { e: number(33) })),
    'an RSA key with an even exponent': pem('PRIVATE KEY', rsaKey(2048, { e: small(65_536) })),
    'an RSA key with the exponent 1': pem('PRIVATE KEY', rsaKey(2048, { e: small(1) })),
    'an RSA key with a negative exponent': pem('PRIVATE KEY', rsaKey(2048, { e: small(-3) })),
    'an RSA key with a huge private exponent': pem('PRIVATE KEY', rsaKey(2048, { d: number(4096) })),
    'an RSA key with a huge prime': pem('PRIVATE KEY', rsaKey(2048, { p: number(4096) })),
    'an RSA key with a tiny prime': pem('PRIVATE KEY', rsaKey(2048, { p: small(3), q: number(2046) })),
    'an RSA key with a huge coefficient': pem('PRIVATE KEY', rsaKey(2048, { qInverse: number(4096) })),
    'an RSA-PSS key': pem('PRIVATE KEY', pkcs8(seq(oid('1.2.840.113549.1.1.10')), rsaNumbers(2048))),
    'a key of three primes': pem(
      'PRIVATE KEY',
      pkcs8(rsaAlgorithm(), seq(small(1), ...rsaNumbers(2048).valueBlock.value.slice(1), seq(seq(number(512))))),
    ),
    'an Ed25519 key of the wrong size': pem('PRIVATE KEY', pkcs8(seq(oid('1.3.101.112')), octets(Buffer.alloc(3_000, 7)))),
    'an X25519 key': pem('PRIVATE KEY', pkcs8(seq(oid('1.3.101.110')), octets(Buffer.alloc(32, 7)))),
    'PBKDF2 with 2^31 iterations': pem('ENCRYPTED PRIVATE KEY', encrypted(pbkdf2)),
    'scrypt with gigabytes of memory': pem('ENCRYPTED PRIVATE KEY', encrypted(scrypt)),
    'an encrypted key that says it is none': pem('PRIVATE KEY', encrypted(pbkdf2)),
    'PEM headers of encryption': good.replace(
      /-----\n/,
      '-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n',
    ),
    'a PKCS#12 file': pem('PRIVATE KEY', seq(small(3), seq(oid('1.2.840.113549.1.7.1')), seq(small(1)))),
    'an indefinite length': pem('PRIVATE KEY', indefinite),
    'data after the key': pem('PRIVATE KEY', Buffer.concat([bytesOf(rsaKey(2048)), Buffer.alloc(3)])),
    'text after the key': `${good}x`,
    'text before the key': `x${good}`,
    'a key that ends early': pem('PRIVATE KEY', bytesOf(rsaKey(2048)).subarray(0, -1)),
    'another end': good.replace(/END [A-Z ]+/, 'END CERTIFICATE'),
    'bad base64': good.replace(/-----\n./, '-----\n='),
    'ten thousand nulls': pem('PRIVATE KEY', seq(...Array.from({ length: Math.floor(characters / 3) }, () => new Null()))),
    'deep nesting': pem('PRIVATE KEY', nested(Math.min(500, Math.floor(characters / 8)))),
    'an empty block': '-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n',
  };
  const small2 = pem('EC PRIVATE KEY', ecPrivate(context(0, oid(P256))));
  all['two keys'] = small2 + small2;
  // In a short text, the largest RSA key is one that is accepted.
  const isLarge = large > 8_192;
  return Object.fromEntries(
    Object.entries(all).filter(
      ([name, text]) => text.length <= characters && (isLarge || !name.startsWith('an RSA key that is too large')),
    ),
  );
}

function nested(depth: number): Block {
  let block: Block = new Null();
  for (let level = 0; level < depth; level++) block = seq(block);
  return block;
}

const name = (text: string) => seq(new SetOf({ value: [seq(oid('2.5.4.3'), new Utf8String({ value: text }))] }));
const date = new UTCTime({ valueDate: new Date('2030-01-01T00:00:00Z') });

interface CertificateParts {
  key: Sequence;
  signatureAlgorithm?: Sequence;
  innerAlgorithm?: Sequence;
  serial?: Block;
  validity?: Block;
  subject?: Block;
  rest?: Block[];
}

/** A certificate in DER. Nobody signed it: nothing in the gateway verifies that. */
export function certificate({
  key,
  signatureAlgorithm = seq(oid('1.2.840.10045.4.3.2')),
  innerAlgorithm = signatureAlgorithm,
  serial = small(7),
  validity = seq(date, date),
  subject = name('hostile.invalid'),
  rest = [],
}: CertificateParts): Block {
  const signed = seq(context(0, small(2)), serial, innerAlgorithm, name('issuer.invalid'), validity, subject, key, ...rest);
  return seq(signed, signatureAlgorithm, bits(Buffer.alloc(70, 1)));
}
const spki = (algorithm: Sequence, key: Uint8Array | Block) => seq(algorithm, bits(key));
const point = Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 7)]);
/** Its point is not on the curve. */
const p256Key = () => spki(seq(oid(EC), oid(P256)), point);

/** Certificates in PEM, none longer than so many characters. `good` is one that is accepted. */
export function hostileCertificates(characters: number, good: string): Record<string, string> {
  const big = fitting(characters, 3);
  const of = (parts: CertificateParts) => pem('CERTIFICATE', certificate(parts));
  const der = Buffer.from(good.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const all: Record<string, string> = {
    'a DSA certificate': of({ key: spki(dsaParameters(big), number(big)) }),
    'a DH certificate': of({ key: spki(dhParameters(big, X942_DH), number(big)) }),
    'a certificate with an explicit curve': of({ key: spki(seq(oid(EC), explicitCurve(1024)), Buffer.alloc(257, 4)) }),
    'a certificate with a compressed point': of({ key: spki(seq(oid(EC), oid(P256)), Buffer.alloc(33, 2)) }),
    'a certificate whose point is not on the curve': of({ key: p256Key() }),
    'a certificate with an RSA key that is too large': of({ key: spki(rsaAlgorithm(), seq(number(16_384), small(65_537))) }),
    'a certificate with a huge exponent': of({ key: spki(rsaAlgorithm(), seq(number(2048), number(2040))) }),
    'a certificate with an RSA key of 1024 bits': of({ key: spki(rsaAlgorithm(), seq(number(1024), small(65_537))) }),
    'a certificate signed with DSA': of({ key: p256Key(), signatureAlgorithm: seq(oid('1.2.840.10040.4.3')) }),
    'a certificate signed with MD5': of({ key: p256Key(), signatureAlgorithm: seq(oid('1.2.840.113549.1.1.4'), new Null()) }),
    'two signature algorithms': of({ key: p256Key(), innerAlgorithm: seq(oid('1.2.840.10045.4.3.3')) }),
    'huge parameters of a signature': of({ key: p256Key(), signatureAlgorithm: seq(oid('1.2.840.113549.1.1.10'), seq(number(4096))) }),
    'a huge serial number': of({ key: p256Key(), serial: number(8_000) }),
    'a date that is none': of({ key: p256Key(), validity: seq(new UTCTime({ value: 'no date at all' } as never), date) }),
    'a certificate without a name': of({ key: p256Key(), subject: new Null() }),
    'parts that no certificate has': of({ key: p256Key(), rest: [context(7, small(1))] }),
    'eleven certificates': good.repeat(11),
    'data after the certificate': pem('CERTIFICATE', Buffer.concat([der, Buffer.alloc(3)])),
    'data after the second certificate': good + pem('CERTIFICATE', Buffer.concat([der, Buffer.alloc(3)])),
    'a DSA certificate after a good one': good + of({ key: spki(dsaParameters(2048), number(2048)) }),
    'a DSA key under the name of a certificate': pem('CERTIFICATE', pkcs8(dsaParameters(big), number(256))),
    'a trusted certificate': good.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'),
    'a revocation list': good.replaceAll('CERTIFICATE', 'X509 CRL'),
    'text between certificates': `${good}x${good}`,
    'a certificate and a key': good + pem('PRIVATE KEY', rsaKey(2048)),
    'a certificate of ten thousand nulls': pem('CERTIFICATE', seq(...Array.from({ length: Math.floor(characters / 3) }, () => new Null()))),
  };
  return Object.fromEntries(Object.entries(all).filter(([, text]) => text.length <= characters));
}

/** Public keys in PEM. */
export function hostilePublicKeys(): Record<string, string> {
  return {
    'a DSA public key': pem('PUBLIC KEY', spki(dsaParameters(8_000), number(8_000))),
    'a DH public key': pem('PUBLIC KEY', spki(dhParameters(8_000), number(8_000))),
    'an EC public key with an explicit curve': pem('PUBLIC KEY', spki(seq(oid(EC), explicitCurve(1024)), Buffer.alloc(257, 4))),
    'a public key that is not on its curve': pem('PUBLIC KEY', p256Key()),
    'an RSA public key that is too large': pem('PUBLIC KEY', spki(rsaAlgorithm(), seq(number(16_384), small(3)))),
    'an RSA public key that is too large, in PKCS#1': pem('RSA PUBLIC KEY', seq(number(16_384), small(3))),
    'an RSA public key with a huge exponent': pem('PUBLIC KEY', spki(rsaAlgorithm(), seq(number(2048), number(2047)))),
    'an even modulus': pem(
      'PUBLIC KEY',
      spki(rsaAlgorithm(), seq(new Integer({ valueHex: Uint8Array.from([0x7f, ...Buffer.alloc(300)]).buffer }), small(3))),
    ),
  };
}

const uint32 = (value: number) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value].map((byte) => byte & 0xff));
const text = (value: string | Uint8Array) => Buffer.concat([uint32(value.length), Buffer.from(value as string)]);

/** Private keys in OpenSSH's own format. */
export function hostileOpenSshKeys(good: string): Record<string, string> {
  const file = (cipher: string, kdf: string, options: Uint8Array, blob: Uint8Array, section: Uint8Array, count = 1) => {
    const padded = Buffer.concat([section, Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -section.length & 7)]);
    return pem(
      'OPENSSH PRIVATE KEY',
      Buffer.concat([Buffer.from('openssh-key-v1\0'), text(cipher), text(kdf), text(options), uint32(count), text(blob), text(padded)]),
    );
  };
  const mpint = (length: number) => text(Buffer.concat([Buffer.from([0]), Buffer.alloc(length / 8, 0xff)]));
  const e = text(Buffer.from([1, 0, 1]));
  const section = (...parts: Uint8Array[]) => Buffer.concat([uint32(5), uint32(5), ...parts, text('')]);
  const rsaBlob = (length: number) => Buffer.concat([text('ssh-rsa'), e, mpint(length)]);
  const rsa = (length: number) =>
    section(text('ssh-rsa'), mpint(length), e, mpint(length), mpint(length / 2), mpint(length / 2), mpint(length / 2));
  const dss = Buffer.concat([text('ssh-dss'), mpint(8_000), mpint(256), mpint(8_000), mpint(8_000)]);
  const plain = (blob: Uint8Array, inner: Uint8Array, count = 1) => file('none', 'none', new Uint8Array(), blob, inner, count);
  return {
    'bcrypt with 2^32 rounds': file(
      'aes256-ctr',
      'bcrypt',
      Buffer.concat([text(Buffer.alloc(16)), uint32(0xffff_ffff)]),
      rsaBlob(2048),
      Buffer.alloc(160),
    ),
    'an ssh-dss key': plain(dss, section(dss, mpint(256))),
    'a small RSA key for SSH': plain(rsaBlob(1024), rsa(1024)),
    'an RSA key for SSH with a huge exponent': plain(
      Buffer.concat([text('ssh-rsa'), mpint(2040), mpint(2048)]),
      section(text('ssh-rsa'), mpint(2048), mpint(2040), mpint(2048), mpint(1024), mpint(1024), mpint(1024)),
    ),
    'two keys in one file': plain(rsaBlob(2048), rsa(2048), 2),
    'a public key of another': plain(rsaBlob(3072), rsa(2048)),
    'two OpenSSH keys': good + good,
    'text after an OpenSSH key': `${good}x`,
  };
}
