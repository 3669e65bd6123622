import { createHmac, createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { Redacted } from '../redacted.ts';

/** How the deliveries of a webhook are signed: `v1` and `v1a` of Standard Webhooks. */
export const webhookAlgorithms = ['HMAC_SHA256', 'ED25519'] as const;
export type WebhookAlgorithm = (typeof webhookAlgorithms)[number];

/** The secret of a webhook. With ED25519 it never leaves the gateway, and receivers verify with the public key. */
export interface WebhookSecret {
  readonly secret: Redacted;
  /** Null with HMAC_SHA256. */
  readonly publicKey: string | null;
}

/** From 24 to 64 bytes, as Standard Webhooks says. The seed of an Ed25519 key has 32. */
const SECRET_BYTES = 32;
const SHARED = 'whsec_';
const PRIVATE = 'whsk_';
const PUBLIC = 'whpk_';
/** What precedes the seed of an Ed25519 key in PKCS #8 (RFC 8410, section 7), and the point in a public key (section 4). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_HEAD_BYTES = 12;

/** Creates a random secret in the notation of Standard Webhooks. */
export function newWebhookSecret(algorithm: WebhookAlgorithm): WebhookSecret {
  const bytes = randomBytes(SECRET_BYTES);
  const text = bytes.toString('base64');
  if (algorithm === 'HMAC_SHA256') return { secret: new Redacted(`${SHARED}${text}`), publicKey: null };
  const point = createPublicKey(privateKeyOf(bytes)).export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD_BYTES);
  return { secret: new Redacted(`${PRIVATE}${text}`), publicKey: `${PUBLIC}${point.toString('base64')}` };
}

/** Returns one signature of a delivery, with its version: of its id, its time in seconds since 1970, and its body. */
export function webhookSignature(secret: Redacted, id: string, seconds: number, body: string): string {
  const [, prefix, text = ''] = /^(whsec_|whsk_)(.*)$/.exec(secret.expose()) ?? [];
  const bytes = Buffer.from(text, 'base64');
  const signed = Buffer.from(`${id}.${seconds}.${body}`);
  if (prefix === PRIVATE) return `v1a,${sign(null, signed, privateKeyOf(bytes)).toString('base64')}`;
  return `v1,${createHmac('sha256', bytes).update(signed).digest('base64')}`;
}

function privateKeyOf(seed: Uint8Array) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}
