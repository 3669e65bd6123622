import type { Issue } from '../errors.ts';
import type { KeyFiles } from '../key-files/index.ts';
import type { Redacted } from '../redacted.ts';
import type { signingAlgorithm } from './signing-algorithm.ts';

type Algorithm = keyof typeof signingAlgorithm.values;

/**
 * What an algorithm requires of its key (RFC 7518, sections 3.2 to 3.5, and RFC 8037 for EdDSA): the least number of bytes of a shared secret, or a
 * type of key as `key-files/` calls it. That reads no RSA key below 2048 bits. `name` is for messages.
 */
type Requirement = { readonly bytes: number } | { readonly types: readonly string[]; readonly curve?: string; readonly name: string };

const rsa = { types: ['rsa'], name: 'RSA key of 2048 to 8192 bits' };
const ec = (curve: string) => ({ types: ['ec'], curve, name: `EC key on ${curve}` });
const requirements: Readonly<Record<Algorithm, Requirement>> = {
  HS256: { bytes: 32 },
  HS384: { bytes: 48 },
  HS512: { bytes: 64 },
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  ES256: ec('P-256'),
  ES384: ec('P-384'),
  ES512: ec('P-521'),
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  EdDSA: { types: ['Ed25519', 'Ed448'], name: 'Ed25519 or Ed448 key' },
};

/** How a kind stores its signing key. */
export interface KeyForm {
  /** Decodes a secret to the bytes of a shared secret, and of a file of a key. */
  decode(plain: string): Buffer;
  /** Returns the texts as which the file of a key may be read, of which one must be a key. */
  asKeyFiles(plain: string): readonly string[];
  readonly readAs: 'anyKey' | 'privateKey';
  /** What a key that is not a shared secret is, for messages. */
  readonly keyName: string;
}

/** The parts of a write that the check needs. */
interface SigningKeyWrite {
  readonly settings: { readonly algorithm?: Algorithm };
  readonly before: { readonly algorithm?: Algorithm } | undefined;
  readonly secrets: { readonly secret?: Redacted };
  readonly isSet: { readonly secret: boolean };
}

/** Returns the issues of a signing key and its algorithm: whether the key has the type, curve and size that the algorithm requires. */
export async function signingKeyIssues(
  { settings: { algorithm }, before, secrets: { secret }, isSet }: SigningKeyWrite,
  form: KeyForm,
  keyFiles: KeyFiles,
): Promise<Issue[]> {
  if (!algorithm) return [];
  const required = requirements[algorithm];
  const refuse = (message: string): Issue[] => [{ path: ['secret'], message }];
  if (secret === undefined) {
    // The stored secret is not opened to check it. For example, a public key must not become the shared secret of HS: then everybody could sign.
    if (!before?.algorithm || !isSet.secret || fitsToo(requirements[before.algorithm], required)) return [];
    return refuse(
      `must be set when algorithm changes from ${before.algorithm} to ${algorithm}: the stored value belongs to the old algorithm`,
    );
  }
  const plain = secret.expose();
  const bytes = form.decode(plain);
  const text = bytes.toString('latin1');
  if ('bytes' in required) {
    if (/-----BEGIN [A-Z0-9 ]+-----/.test(text)) return refuse(`must be a shared secret with ${algorithm}, not a key in PEM`);
    if (bytes.length < required.bytes)
      return refuse(`must be at least ${required.bytes} bytes with ${algorithm} (RFC 7518, section 3.2): as many as its hash has`);
    // Random bytes are hardly ever all visible, so this is a text that was encoded together with the line break after it.
    if (/^[\x20-\x7e]+[\r\n]+$/.test(text)) return refuse('must not end with a line break, which would be a part of the shared secret');
    return [];
  }
  for (const file of form.asKeyFiles(plain)) {
    const key = await keyFiles.read(form.readAs, file);
    if (key && required.types.includes(key.type) && (required.curve === undefined || key.curve === required.curve)) return [];
  }
  return refuse(`must be one ${required.name} ${form.keyName} with ${algorithm}`);
}

/** Whether each key for the first requirement is also one for the second. */
function fitsToo(before: Requirement, now: Requirement): boolean {
  if ('bytes' in before) return 'bytes' in now && now.bytes <= before.bytes;
  return !('bytes' in now) && before.types.every((type) => now.types.includes(type)) && before.curve === now.curve;
}
