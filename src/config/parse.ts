import { z } from 'zod';
import { type Settings, settings } from './settings.ts';

/** One or more settings are invalid. The message names each and says what is valid; it never repeats a value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Settings in whose values spaces or quotation marks at the ends can have a meaning, or are removed later. */
const anyEnds: readonly string[] = ['MASTER_KEY', 'ALLOWED_HOSTS', 'CORS_ORIGINS', 'OAUTH_RETURN_ORIGINS', 'REVEAL_REASON_PATTERN'];

/**
 * Returns what is wrong with the ends of a value: what files of settings and shells leave there by mistake. Such a value would be compared with what
 * a token or a request contains, and match nothing.
 */
function wrongEnds(name: string, value: string): string | undefined {
  if (/^(["']).*\1$/s.test(value) && name !== 'REVEAL_REASON_PATTERN') return 'must not be in quotation marks';
  return value !== value.trim() && !anyEnds.includes(name) ? 'must not begin or end with spaces or line breaks' : undefined;
}

/** Reads the settings with these names; the others have their defaults. @throws ConfigError */
export function parsedSettings(
  names: readonly (keyof typeof settings)[],
  environment: Readonly<Record<string, string | undefined>>,
  combined: (read: Settings) => readonly string[],
): Settings {
  // An empty setting counts as unset, as intended by `FOO= npm start` and in compose files.
  const given = Object.fromEntries(names.map((name) => [name, environment[name] || undefined]));
  const wrong = names.flatMap((name) => {
    const problem = wrongEnds(name, given[name] ?? '');
    return problem ? [`${name} ${problem}`] : [];
  });
  if (wrong.length > 0) throw new ConfigError(wrong.map((problem) => `${problem}.`).join('\n'));
  const parsed = z.object(settings).safeParse(given);
  const problems = parsed.success ? combined(parsed.data) : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems.map((problem) => `${problem}.`).join('\n'));
  return parsed.data;
}
