import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import type { Field } from '../../src/fields/field.ts';

/** A secret that is valid where it is put, and texts by which it is found wherever it should not be. */
export interface Planted {
  readonly value: string;
  readonly canaries: readonly string[];
}

/** A fresh secret for a field: every one that is made is another, so what is found says where it came from. */
export function plant(kind: CredentialKind, name: string, field: Field, canary = `canary${randomBytes(9).toString('hex')}`): Planted {
  const special = specialValues[`${kind.kind}.${name}`];
  if (special) return { value: special(canary), canaries: [canary] };
  const format = 'format' in field ? field.format : undefined;
  switch (format) {
    case undefined:
    case 'any':
    case 'headerValue':
    case 'oauthText':
    case 'password':
    case 'token':
    case 'urlSegment':
    case 'line':
    case 'multiline':
      return { value: canary, canaries: [canary] };
    case 'base64': {
      const value = Buffer.from(canary).toString('base64');
      return { value, canaries: [canary, value] };
    }
    case 'json':
      return { value: JSON.stringify({ canary }), canaries: [canary] };
    case 'urlEncoded':
      return { value: `canary=${canary}`, canaries: [canary] };
    case 'url':
      return { value: `https://app.example.com/${canary}`, canaries: [canary] };
    case 'mongodbUri':
      return { value: `mongodb://user:${canary}@host.example`, canaries: [canary] };
    case 'pemPrivateKey':
      return keyPlanted(kind.kind === 'snowflake' ? 'rsa' : 'ec');
    default:
      throw new Error(`How is a canary planted in ${kind.kind}.${name}, a ${format}?`);
  }
}

/** Fields whose kind asks for more than their format does. */
const specialValues: Readonly<Record<string, (canary: string) => string>> = {
  // HS256 has secrets of 32 bytes or more.
  'jwt.secret': (canary) => canary.repeat(2),
  'jwtBearer.secret': (canary) => Buffer.from(canary.repeat(2)).toString('base64'),
  // A key file has a type; what is not among the members that may be shown is secret.
  'gcp.keyJson': (canary) => JSON.stringify({ type: 'authorized_user', client_id: 'c', refresh_token: canary }),
};

/** Of a private key, lines that hold nothing of its public half. */
function keyPlanted(type: 'ec' | 'rsa'): Planted {
  const { privateKey: key } =
    type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const lines = privateKey.split('\n');
  // PKCS#8 of P-256: the private number is bytes 36 to 67, base64 characters 48 to 90. Of RSA: the private exponent fills lines 8 to 12.
  const canaries = type === 'ec' ? [lines[1]!.slice(48), lines[2]!.slice(0, 26)] : lines.slice(9, 12);
  return { value: privateKey, canaries };
}
