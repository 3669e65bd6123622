import type { Viewer } from '../access/viewer.ts';
import type { DomainContext } from '../domain/context.ts';
import type { finish, reserve } from '../domain/idempotency.ts';
import type { Logger } from '../logger.ts';
import type { Progress } from '../schema/index.ts';
import { malformedIdempotencyKey } from './error-redaction.ts';
import type { ReadableRequest } from './request.ts';
import { type Result, sentResult } from './response.ts';

/** What makes an operation with an idempotency key run once. */
export interface Idempotency {
  readonly reserve: typeof reserve;
  readonly finish: typeof finish;
}

const NAME = 'idempotency-key';
const KEY_FORM = /^[\x21-\x7e]{1,255}$/;
/** A string (RFC 9651, section 3.3.3), or what many clients send in its place: the text without quotes. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;
const BARE = /^[^",\\]*$/;

/**
 * Returns the idempotency key of a request (draft-ietf-httpapi-idempotency-key-header, section 2.1). Undefined if it has none.
 * @throws GraphQLError
 */
export function idempotencyKeyIn({ headers, rawHeaders }: ReadableRequest): string | undefined {
  const value = headers[NAME];
  if (value === undefined) return undefined;
  if (rawHeaders.filter(([name]) => name.toLowerCase() === NAME).length > 1) throw malformedIdempotencyKey();
  const text = value.trim();
  const [, quoted] = QUOTED.exec(text) ?? [];
  if (quoted === undefined && !BARE.test(text)) throw malformedIdempotencyKey();
  return checkedKey(quoted === undefined ? text : quoted.replace(/\\(.)/g, '$1'));
}

/** Returns the key if it is one. @throws GraphQLError */
export function checkedKey(key: string): string {
  if (!KEY_FORM.test(key)) throw malformedIdempotencyKey();
  return key;
}

/** Returns the text of a request. The order of the members of an object, which some clients do not keep, has no meaning in it. */
export function requestText(query: string, operationName: string | null | undefined, variables: Readonly<Record<string, unknown>>): string {
  return JSON.stringify([query, operationName ?? null, variables], (_, value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );
}

/** Returns a kept answer as a result. Its errors name the request that it was made for. */
export function keptResult(text: string): Result {
  const { data, errors } = JSON.parse(text) as { data: unknown; errors?: { extensions: Record<string, unknown> }[] };
  return { data, ...(errors && { errors: errors.map((error) => ({ extensions: error.extensions, toJSON: () => error })) }) };
}

/** What `createFinisher` needs. */
interface FinisherSettings {
  readonly idempotency: Pick<Idempotency, 'finish'>;
  readonly contextOf: (viewer: Viewer) => DomainContext;
  readonly logger: Logger;
}

/** Creates the function that finishes operations. One without an idempotency key has nothing to finish. */
export function createFinisher({ idempotency, contextOf, logger }: FinisherSettings) {
  /**
   * Finishes an operation with an idempotency key. Only an answer with data is kept: otherwise the mutation that failed may be sent again, unless
   * something was committed.
   */
  return async (viewer: Viewer, { reservation, answersPlaintext }: Progress, result: Result, requestId: string): Promise<void> => {
    if (!reservation) return;
    // What was given up may still run. Until it cannot any more, the key is in use.
    if (result.errors?.some(({ extensions }) => extensions.code === 'TIMEOUT') && result.data == null) return;
    const kept = answersPlaintext
      ? ({ unkept: 'PLAINTEXT' } as const)
      : result.data == null
        ? ({ unkept: 'LOST' } as const)
        : { answer: JSON.stringify(sentResult(result, requestId)) };
    await idempotency
      .finish(contextOf(viewer), reservation, kept)
      .catch((error: unknown) =>
        logger.warn({ requestId, error: (error as Error).name }, 'the answer for an idempotency key was not kept'),
      );
  };
}
