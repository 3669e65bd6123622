/**
 * What the gateway needs of a logger: three methods that take the details as plain values and a message. Those of pino, and so of Fastify, fit, and
 * those of `console`. Neither contains a secret or a value that a caller sent.
 */
export interface Logger {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Logs nothing. */
export const silentLogger: Logger = { info() {}, warn() {}, error() {} };
