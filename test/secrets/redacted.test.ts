import { format, inspect } from 'node:util';
import { serialize } from 'node:v8';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { REDACTED, Redacted } from '../../src/redacted.ts';

const CANARY = 'canary-of-redacted-texts';
const secret = new Redacted(CANARY);

function loggedBy(log: (logger: pino.Logger) => void): string {
  const lines: string[] = [];
  log(pino({}, { write: (line) => void lines.push(line) }));
  return lines.join('');
}

function thrownBy(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return `${(error as Error).stack} ${inspect(error)}`;
  }
  throw new Error('It did not throw.');
}

// Every way in which a value ends up in a text, without anybody meaning to: none gives the plaintext away.
describe('a plaintext in memory', () => {
  it.each<[string, () => string]>([
    ['String()', () => String(secret)],
    ['interpolation', () => `${secret}`],
    ['concatenation', () => `a ${secret as unknown as string}`],
    ['joining', () => [secret, secret].join()],
    ['JSON', () => JSON.stringify({ secret, list: [secret] })],
    ['inspect', () => inspect({ deep: { secret } }, { depth: 9, showHidden: true, getters: true })],
    ['format', () => format('%s %o %j %O', secret, secret, secret, secret)],
    ['an error’s message', () => new Error(`bad: ${secret}`).message],
    ['an error’s cause', () => inspect(new Error('bad', { cause: secret }))],
    ['pino, as an object', () => loggedBy((logger) => logger.info({ secret, nested: { secret } }, 'message'))],
    ['pino, as an argument', () => loggedBy((logger) => logger.info('%s %o %j', secret, secret, secret))],
  ])('shows as [redacted]: %s', (_, text) => {
    expect(text()).toContain('[redacted]');
    expect(text()).not.toContain(CANARY);
  });

  it.each<[string, () => string]>([
    ['its members', () => JSON.stringify([Object.entries(secret), Reflect.ownKeys(secret), { ...secret }])],
    ['a structured clone', () => inspect(structuredClone(secret)) + serialize(secret).toString('latin1')],
    ['inspection that ignores custom inspection', () => inspect(secret, { customInspect: false, showHidden: true, depth: 9 })],
    ['a type error', () => thrownBy(() => (secret as unknown as () => void)())],
    ['a number', () => String(Number(secret))],
    ['a locale string', () => secret.toLocaleString()],
    ['a property name', () => Object.keys({ [secret as unknown as string]: 1 }).join()],
  ])('does not show in: %s', (_, text) => {
    expect(text()).not.toContain(CANARY);
  });

  it('comes out of expose only', () => {
    expect(secret.expose()).toBe(CANARY);
  });

  it('is shown to callers as five asterisks, whatever its length', () => {
    expect(REDACTED).toBe('*****');
  });
});
