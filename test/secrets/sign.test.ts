import { execFileSync, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { link, openAccount, tokenOf } from '../domain/sso-account.ts';
import { useTestGateway } from '../harness.ts';

const test = useTestGateway();
let signed = '';
let signature = '';
let sharedSecret = '';
beforeAll(async () => {
  const account = await openAccount(test);
  const token = tokenOf(await link(test, account.caller));
  [signed, signature] = [token.slice(0, token.lastIndexOf('.')), token.slice(token.lastIndexOf('.') + 1)];
  sharedSecret = account.sharedSecret;
});

const has = (command: string) => spawnSync(command, ['--version']).status === 0 || spawnSync(command, ['version']).status === 0;
const python = `import base64, hashlib, hmac, sys
signed, key = sys.stdin.read().split("\\n")
print(base64.urlsafe_b64encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()).decode().rstrip("="))`;

// That it signs what Zendesk checks is seen by those who share no line of code with it.
describe('H21: the signature is HMAC with SHA-256 of the shared secret', () => {
  it('by Node', () => {
    expect(createHmac('sha256', sharedSecret).update(signed).digest('base64url')).toBe(signature);
    expect(createHmac('sha256', `${sharedSecret}x`).update(signed).digest('base64url')).not.toBe(signature);
  });

  it.skipIf(!has('openssl'))('by OpenSSL', () => {
    const args = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${Buffer.from(sharedSecret).toString('hex')}`, '-binary'];
    expect(execFileSync('openssl', args, { input: signed }).toString('base64url')).toBe(signature);
  });

  it.skipIf(!has('python3'))('by Python', () => {
    expect(
      execFileSync('python3', ['-c', python], { input: `${signed}\n${sharedSecret}` })
        .toString()
        .trim(),
    ).toBe(signature);
  });
});
