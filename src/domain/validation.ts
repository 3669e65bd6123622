import { z } from 'zod';
import { formats } from '../fields/formats.ts';
import { type Path, ValidationError } from '../errors.ts';

/** Text that comes back as it was sent: half of a surrogate pair would be stored as another character. */
export const anyText = z.string().refine((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed Unicode');
/** A name: 1 to 255 characters, none of them a control character. */
export const nameText = anyText
  .min(1)
  .max(255)
  .regex(/^\P{Cc}*$/u, 'must not contain control characters');
/** Up to 32,767 characters of prose (Losant's limit). */
export const descriptionText = anyText.max(32_767).nullable();
/** A URL that is shown to everybody who may read, and so holds no password. */
export const urlText = anyText.max(2_048).refine(formats.url.accepts, formats.url.message);
export const hostnameText = z.hostname('must be a hostname such as api.example.com, without scheme, port or path').max(253);
export const emailText = z.email('must be a mail address such as ada@example.com').max(254);

/**
 * Checks a value against a schema and gives back what the schema makes of it.
 * @throws ValidationError with every broken rule, each path beginning with `path`; messages tell the rule and never the value
 */
export function check<T>(schema: z.ZodType<T>, value: unknown, path: Path = []): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ValidationError(
    result.error.issues.map((issue) => ({
      path: [...path, ...(issue.path as (string | number)[])],
      message: rule(issue),
    })),
  );
}

/** @throws ValidationError when the time at which something is to end has come already; `path` is that of what has the time */
export function refusePast(expiresAt: Date | null | undefined, now: Date, path: Path = []): void {
  if (expiresAt && expiresAt <= now) throw new ValidationError([{ path: [...path, 'expiresAt'], message: 'must be in the future' }]);
}

/** The rule that was broken, in words for people. */
function rule(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'unrecognized_keys':
      return 'has members that are not known';
    case 'too_small':
      return issue.origin === 'string' && issue.minimum === 1
        ? 'must not be empty'
        : `must be at least ${issue.minimum}${unit(issue.origin)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}${unit(issue.origin)}`;
    case 'invalid_type':
      return issue.message.endsWith('received null') ? 'cannot be cleared' : `must be a ${issue.expected}`;
    default:
      return issue.message;
  }
}

function unit(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' items' : '';
}
