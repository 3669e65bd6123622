/**
 * What the gateway needs of a logger: three methods that take the details as plain values and a message. Those of pino, and so of Fastify, fit, and
 * those of `console`. Neither contains a secret or a value that a caller sent.
 */
export interface Logger {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/**
 * Returns a logger that never throws: what was carried out must be answered, also if it cannot be logged.
 * @throws TypeError when a method is missing
 */
export function safeLogger(logger: Logger): Logger {
  const safely = (level: keyof Logger) => {
    if (typeof logger[level] !== 'function')
      throw new TypeError(`The logger must have the methods info, warn and error: ${level} is missing.`);
    return (details: object, message: string) => {
      try {
        logger[level](details, message);
      } catch {
        // There is nowhere to say so.
      }
    };
  };
  return { info: safely('info'), warn: safely('warn'), error: safely('error') };
}

/** Logs nothing. */
export const silentLogger: Logger = { info() {}, warn() {}, error() {} };
