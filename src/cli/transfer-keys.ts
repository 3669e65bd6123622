import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ConfigError } from '../config/index.ts';
import { ValidationError } from '../errors.ts';
import { requireTransferKey } from '../gateway/index.ts';
import { readPrivateFile } from './private-files.ts';

/** Reads the public key that the secrets of an export are sealed for: a PEM, or a JSON Web Key (RFC 7517). @throws ConfigError */
export function readRecipientKey(file: string): KeyObject {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`--recipient cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
  }
  return keyIn('--recipient', text, 'public', (source, isPrivate) => {
    if (isPrivate)
      throw new ConfigError('--recipient: this is a private key. Give the public key, and keep the private key where the import is.');
    return createPublicKey(source);
  });
}

/** Reads the private key that opens the secrets of an export, see `readPrivateFile`. @throws ConfigError */
export function readImportKey(file: string): KeyObject {
  return readPrivateFile(file, '--key', (text) => keyIn('--key', text, 'private', (source) => createPrivateKey(source)));
}

type Source = Parameters<typeof createPublicKey>[0] & Parameters<typeof createPrivateKey>[0];

function keyIn(
  option: string,
  content: string,
  type: 'public' | 'private',
  make: (source: Source, isPrivate: boolean) => KeyObject,
): KeyObject {
  const text = content.trim();
  try {
    const jwk = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : undefined;
    const isPrivate = jwk ? 'd' in jwk : text.includes('PRIVATE KEY-----');
    const key = make((jwk ? { key: jwk, format: 'jwk' } : text) as Source, isPrivate);
    requireTransferKey(key, type, []);
    return key;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error instanceof ValidationError) throw new ConfigError(`${option} ${error.issues[0]!.message}.`);
    throw new ConfigError(`${option}: the file contains no key in PEM or as a JSON Web Key.`);
  }
}
