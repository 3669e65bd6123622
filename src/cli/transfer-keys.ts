import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ConfigError } from '../config.ts';
import { transferAlgorithm } from '../gateway.ts';

const RSA_BITS_MIN = 2_048;
const curves = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Reads the public key that the secrets of an export are sealed for: a PEM, or a JSON Web Key (RFC 7517). @throws ConfigError */
export function readRecipientKey(file: string): KeyObject {
  return readKey('--recipient', file, (source, isPrivate) => {
    if (isPrivate)
      throw new ConfigError('--recipient: this is a private key. Give the public key, and keep the private key where the import is.');
    return createPublicKey(source);
  });
}

/** Reads the private key that opens the secrets of an export. @throws ConfigError */
export function readImportKey(file: string): KeyObject {
  return readKey('--key', file, (source) => createPrivateKey(source));
}

type Source = Parameters<typeof createPublicKey>[0] & Parameters<typeof createPrivateKey>[0];

function readKey(option: string, file: string, make: (source: Source, isPrivate: boolean) => KeyObject): KeyObject {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new ConfigError(`${option}: the file cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  let key: KeyObject;
  try {
    const jwk = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : undefined;
    const isPrivate = jwk ? 'd' in jwk : text.includes('PRIVATE KEY-----');
    key = make((jwk ? { key: jwk, format: 'jwk' } : text) as Source, isPrivate);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${option}: the file contains no key in PEM or as a JSON Web Key.`);
  }
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  const isWeak =
    (modulusLength !== undefined && modulusLength < RSA_BITS_MIN) || (namedCurve !== undefined && !curves.includes(namedCurve));
  if (!transferAlgorithm(key) || isWeak) {
    throw new ConfigError(
      `${option}: the key must be an RSA key of at least ${RSA_BITS_MIN} bits, or a key for P-256, P-384, P-521 or X25519.`,
    );
  }
  return key;
}
