import { expect, it } from 'vitest';
import { compilePattern } from '../../src/embedded-mongodb/regex.ts';
import { globCondition } from '../../src/store/glob.ts';
import { Random } from './random.ts';

/** Matches a glob in the plainest way, which takes exponential time. */
function matchesGlob(glob: string[], text: string[]): boolean {
  const [first, ...rest] = glob;
  if (first === undefined) return text.length === 0;
  if (first === '*') return matchesGlob(rest, text) || (text.length > 0 && matchesGlob(glob, text.slice(1)));
  return text.length > 0 && (first === '?' || first === text[0]) && matchesGlob(rest, text.slice(1));
}

function compile(glob: string): (text: string) => boolean {
  const condition = globCondition(glob);
  if (typeof condition === 'string') return (text) => text === condition;
  const { $regex: pattern, $options: options } = condition as { $regex: string; $options: string };
  return compilePattern({ pattern, options });
}

it('matches every glob of the gateway as a glob, and as JavaScript does', () => {
  const random = new Random(Date.now());
  const letters = ['a', 'b', '\n', '.', '\\', '$', '^', '(', '[', ']', '{', '}', '|', '+', '-', '/', '\u{1f600}', 'é', ' '];
  let matched = 0;
  for (let i = 0; i < 20_000; i++) {
    const few = letters.slice(0, random.below(2) ? 2 : letters.length);
    const glob = Array.from({ length: random.below(7) }, () => random.pick([...few, '?']));
    for (let star = random.below(3); star > 0; star--) glob.splice(random.below(glob.length + 1), 0, '*');
    const text = Array.from({ length: random.below(8) }, () => random.pick(few));
    const wanted = matchesGlob(glob, text);
    matched += Number(wanted);
    expect([glob, text, compile(glob.join(''))(text.join(''))]).toEqual([glob, text, wanted]);
    const condition = globCondition(glob.join(''));
    if (typeof condition === 'object') {
      const { $regex } = condition as { $regex: string };
      expect(new RegExp($regex, 'su').test(text.join(''))).toBe(wanted);
    }
  }
  expect(matched).toBeGreaterThan(1000);
});

it('compares at most once for each place and character of the pattern', () => {
  const text = 'a'.repeat(100_000);
  // Of this, an engine with backtracking tries the second star at each place of the first.
  for (const glob of [`a*${'a'.repeat(60)}b*c`, `*${'?'.repeat(60)}b*`, `*${'a'.repeat(126)}*b`]) expect(compile(glob)(text)).toBe(false);
});
