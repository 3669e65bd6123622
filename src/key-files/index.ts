import { Redacted } from '../redacted.ts';
import type { Generated, ReadAs, Readings, SignatureAlgorithm, Task, TaskResult } from './tasks.ts';

export type { CertificateFacts, Generated, PrivateKeyFacts, ReadAs, Readings, SignatureAlgorithm } from './tasks.ts';

/** Reads and generates keys and certificates, away from the thread that answers requests. */
export interface KeyFiles {
  /**
   * Reads a text, and returns undefined when it is not what it must be. Equal texts are read once.
   *
   * @throws RateLimitedError when too much work of the organization is waiting
   * @throws OperationTimeoutError when it takes too long
   */
  read<K extends ReadAs>(readAs: K, text: Redacted | string): Promise<Readings[K] | undefined>;
  /** Generates a private key. @throws RateLimitedError, OperationTimeoutError */
  generate(type: Generated): Promise<Redacted>;
  /**
   * Signs with a private key in PEM. Returns the signature in base64url; undefined when the text is no private key for the algorithm.
   * @throws RateLimitedError, OperationTimeoutError
   */
  sign(algorithm: SignatureAlgorithm, privateKey: Redacted, data: string): Promise<string | undefined>;
}

/** Carries out a task, here or elsewhere. */
export type RunTask = (task: Task) => Promise<TaskResult>;

/**
 * Creates the `KeyFiles` of one mutation. A transaction can run several times, and validation and facts read the same texts, so results
 * are kept as long as the returned object.
 */
export function createKeyFiles(run: RunTask): KeyFiles {
  const known = new Map<string, Promise<TaskResult>>();
  return {
    async read(readAs, text) {
      const plain = plainOf(text);
      // Whatever has no armor is no key, and costs no worker its time.
      if (!plain.includes('-----BEGIN ')) return undefined;
      const name = `${readAs} ${plain}`;
      const result = known.get(name) ?? run({ readAs, plain });
      known.set(name, result);
      // A refusal to work now says nothing about the text.
      result.catch(() => known.delete(name));
      return (await result) as never;
    },
    sign: async (by, privateKey, data) => (await run({ sign: data, by, plain: plainOf(privateKey) })) as string | undefined,
    generate: async (type) => new Redacted((await run({ generate: type })) as string),
  };
}

function plainOf(text: Redacted | string): string {
  return text instanceof Redacted ? text.expose() : text;
}
