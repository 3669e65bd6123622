import { createPrivateKey, type KeyObject } from 'node:crypto';

/**
 * Returns the key of a stored file in PEM. It was read by `key-files/` when it was stored, and its record has a MAC: so it has one of the listed
 * algorithms and a bounded size, and OpenSSL can decode it here. Returns undefined when it is no private key.
 */
export function storedPrivateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
