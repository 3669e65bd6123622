import { createHash } from 'node:crypto';
import { keyTexts } from '../../credential-kinds/jwt-bearer.ts';
import { parseJsonObject } from '../../fields/formats.ts';
import type { KeyFiles, SignatureAlgorithm } from '../../key-files/index.ts';
import { assembledJwt, type Signer, sharedSecretSigner } from '../../key-files/jwt.ts';
import { Redacted } from '../../redacted.ts';

interface CreatedToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/** Seconds in each unit of a duration. */
const units: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3_600 };
/** The latest time that a Date has, in seconds. */
const LAST_SECOND = 8_640_000_000_000;
/** Snowflake accepts one hour at most. */
const SNOWFLAKE_SECONDS = 300;

/**
 * Creates a JSON Web Token (RFC 7519) with the claims, and `iat` and `exp`. A key of HS is the base64 of its bytes, one of the other algorithms the
 * base64 of a file. Returns undefined when the key does not fit the algorithm, or the claims are no JSON object.
 */
export async function createdToken(
  { algorithm, key, claims, lifetime }: Readonly<Record<'algorithm' | 'key' | 'claims' | 'lifetime', string>>,
  now: Date,
  keyFiles: KeyFiles,
): Promise<CreatedToken | undefined> {
  const given = parseJsonObject(claims);
  if (!given) return undefined;
  const iat = Math.floor(now.getTime() / 1_000);
  const exp = Math.min(iat + secondsOf(lifetime), LAST_SECOND);
  const payload = { ...given, iat, exp };
  const expiresAt = new Date(exp * 1_000);
  const signers = algorithm.startsWith('HS')
    ? [sharedSecretSigner(algorithm, Buffer.from(key, 'base64'))]
    : keyTexts(key).map((text) => signer(keyFiles, algorithm, text));
  for (const sign of signers) {
    const token = await assembledJwt({ alg: algorithm, typ: 'JWT' }, payload, sign);
    if (token !== undefined) return { token, expiresAt };
  }
  return undefined;
}

/**
 * Creates the token of Snowflake’s key pair authentication (Snowflake, "Authenticating to the server"): issuer and subject name the account and the
 * user in upper case, the issuer also the SHA-256 of the public key.
 */
export async function snowflakeToken(
  { host, user, privateKey }: Readonly<Record<'host' | 'user' | 'privateKey', string>>,
  publicKey: string,
  now: Date,
  keyFiles: KeyFiles,
): Promise<CreatedToken | undefined> {
  // Without the region, and without anything after it.
  const account = host.split('.')[0]!.toUpperCase();
  const der = Buffer.from(publicKey.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const fingerprint = createHash('sha256').update(der).digest('base64');
  const sub = `${account}.${user.toUpperCase()}`;
  const iat = Math.floor(now.getTime() / 1_000);
  const exp = iat + SNOWFLAKE_SECONDS;
  const claims = { iss: `${sub}.SHA256:${fingerprint}`, sub, iat, exp };
  const token = await assembledJwt({ alg: 'RS256', typ: 'JWT' }, claims, signer(keyFiles, 'RS256', privateKey));
  return token === undefined ? undefined : { token, expiresAt: new Date(exp * 1_000) };
}

function signer(keyFiles: KeyFiles, algorithm: string, privateKey: string): Signer {
  return (text) => keyFiles.sign(algorithm as SignatureAlgorithm, new Redacted(privateKey), text);
}

/** The seconds of a duration such as `1h30m`, at least one. */
function secondsOf(duration: string): number {
  const parts = [...duration.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * units[unit!]!, 0);
  return Math.max(1, Math.floor(Math.min(seconds, LAST_SECOND)));
}
