import { GatewayError, InvalidIntegrationError, type Issue, NotFoundError, type Path, ValidationError } from '../errors.ts';

/** @throws ValidationError when `expiresAt` is not in the future. `path` is that of the object that contains it. */
export function refusePast(expiresAt: Date | null | undefined, now: Date, path: Path = []): void {
  if (expiresAt && expiresAt <= now) throw new ValidationError([{ path: [...path, 'expiresAt'], message: 'must be in the future' }]);
}

/** Runs a function that handles a part of an input. Adds the path of that part to the paths of its errors. */
export async function at<T>(path: Path, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof GatewayError ? error.within(path) : error;
  }
}

/** What a caller can correct in an input. */
type InputError = ValidationError | NotFoundError | InvalidIntegrationError;

/** A check that throws an `InputError`, or does nothing. */
type Check = (checks: Checks) => unknown;

/**
 * Collects what is wrong with an input, so that a caller learns everything at once: the form of its fields, rules between fields, and references
 * to records that do not exist, at any depth.
 */
export class Checks {
  readonly #malformed: readonly Issue[];
  readonly #errors: InputError[] = [];

  /** `malformed` are the ids in the input that no record can have. */
  constructor({ malformed = [] }: { readonly malformed?: readonly Issue[] | undefined } = {}) {
    this.#malformed = malformed;
  }

  /** Whether nothing is wrong so far. */
  get isEmpty(): boolean {
    return this.#malformed.length === 0 && this.#errors.length === 0;
  }

  /** Runs a check and returns its result; undefined if something is wrong. @throws whatever else the check throws */
  async run<T>(check: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await check();
    } catch (error) {
      this.refuse(error);
      return undefined;
    }
  }

  /** Adds what is wrong. @throws the error itself, if it says something else */
  refuse(error: unknown): void {
    if (!isInputError(error)) throw error;
    this.#errors.push(error);
  }

  /** @throws ValidationError with everything that is wrong; the error itself if it is the only one */
  end(): void {
    const [first, ...others] = this.#errors;
    if (this.#malformed.length === 0 && !first) return;
    if (this.#malformed.length === 0 && first && others.every((other) => isSameError(first, other))) throw first;
    const issues = [...this.#malformed, ...this.#errors.flatMap((error) => this.#issuesOf(error))];
    throw new ValidationError(issues.filter((issue, index) => issues.findIndex((other) => isSameIssue(issue, other)) === index));
  }

  /**
   * Makes the change, if nothing is wrong so far. If something is, or if the change throws an error about the input, everything else that can be
   * said is found out too: `others` check references, without a transaction, because nothing is changed any more.
   *
   * @throws ValidationError, NotFoundError, InvalidIntegrationError, and whatever else the change throws
   */
  async thenMake<T>(change: () => Promise<T>, others: readonly Check[]): Promise<T> {
    if (this.#malformed.length === 0 && this.#errors.length === 0) {
      try {
        return await change();
      } catch (error) {
        this.refuse(error);
      }
    }
    for (const other of others) {
      try {
        await this.run(() => other(this));
      } catch (error) {
        // For example, the database does not respond, or a record was altered. What is known to be wrong stays so.
        if (!(error instanceof GatewayError)) throw error;
      }
    }
    this.end();
    throw new Error('A change failed without a reason.');
  }

  /** Returns the issues of an error, without those that follow from a malformed id: nothing has such an id. */
  #issuesOf(error: InputError): readonly Issue[] {
    if (error instanceof ValidationError) return error.issues;
    const isMalformed = this.#malformed.some(({ path }) => error.path.every((name, index) => path[index] === name));
    const noun = error instanceof NotFoundError ? error.noun : 'integration';
    return isMalformed ? [] : [{ path: error.path, message: `does not name an existing ${noun}` }];
  }
}

function isInputError(error: unknown): error is InputError {
  return error instanceof ValidationError || error instanceof NotFoundError || error instanceof InvalidIntegrationError;
}

function isSameIssue(one: Issue, other: Issue): boolean {
  return one.message === other.message && one.path.join('.') === other.path.join('.');
}

function isSameError(one: InputError, other: InputError): boolean {
  if (one instanceof ValidationError || other instanceof ValidationError) return false;
  return one.code === other.code && one.path.join('.') === other.path.join('.');
}
