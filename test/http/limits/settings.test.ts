import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfig, settingNames } from '../../../src/config/index.ts';
import { defaultLimits } from '../../../src/limits.ts';

const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
const limitNames = settingNames.filter((name) => /^(MAX_|RATE_LIMIT|OPERATION_|DATABASE_|COUNT_|PROXY_|INTROSPECTION)/.test(name));

describe('limits', () => {
  it('are each a setting, and change what it says', () => {
    expect(limitNames).toHaveLength(Object.keys(defaultLimits).length);
    for (const name of limitNames) {
      const changed = readConfig({
        [name]:
          name === 'INTROSPECTION'
            ? 'false'
            : name === 'MAX_BODY_BYTES' || name === 'MAX_TOKENS'
              ? '4096'
              : name === 'RATE_LIMIT' || name === 'RATE_LIMIT_ORGANIZATION'
                ? '20000'
                : '7',
      });
      const different = Object.entries(changed.limits).filter(
        ([limit, value]) => value !== defaultLimits[limit as keyof typeof defaultLimits],
      );
      expect(different, name).toHaveLength(1);
    }
  });

  it('stand in the README with their defaults', () => {
    const told = Object.fromEntries([...readme.matchAll(/^\| `([A-Z_]+)` \| `(\d+)` \|/gm)].map(([, name, value]) => [name, value]));
    const numbers = limitNames.filter((name) => name !== 'INTROSPECTION');
    const defaults = readConfig({}).limits;
    expect(numbers.map((name) => Number(told[name])).sort()).toEqual(
      Object.values(defaults)
        .filter((value) => typeof value === 'number')
        .sort(),
    );
    expect(told).toMatchObject({ MAX_DEPTH: '16', MAX_COST: '10000', RATE_LIMIT: '300000', TRUSTED_PROXIES: '0' });
  });

  it.each([
    ['MAX_DEPTH', 'hunter2'],
    ['MAX_DEPTH', '0'],
    ['MAX_TOKENS', '1.5'],
    ['MAX_COST', '-1'],
    ['MAX_BODY_BYTES', '1'],
    ['OPERATION_SECONDS', '0'],
    ['RATE_LIMIT_ANONYMOUS', 'Infinity'],
    ['TRUSTED_PROXIES', '-1'],
  ])('%s of %s stops the start', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(new RegExp(`^${name} must be a whole number from \\d+ to \\d+\\.$`));
  });

  it('that contradict each other stop the start', () => {
    expect(() => readConfig({ RATE_LIMIT: '5000' })).toThrow(/^RATE_LIMIT must be at least MAX_COST/);
    expect(() => readConfig({ RATE_LIMIT_ORGANIZATION: '19999' })).toThrow(/^RATE_LIMIT_ORGANIZATION must be at least twice MAX_COST/);
    expect(readConfig({ RATE_LIMIT: '0' }).limits.rateLimit).toBe(0);
  });

  it('introspection is off in production unless told', () => {
    const production = {
      NODE_ENV: 'production',
      MONGODB_URI: 'mongodb://x/',
      MASTER_KEY: 'x',
      TOKEN_SECRET: randomBytes(32).toString('hex'),
    };
    expect(readConfig(production).limits.introspection).toBe(false);
    expect(readConfig({ ...production, INTROSPECTION: 'true' }).limits.introspection).toBe(true);
  });
});
