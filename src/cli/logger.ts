import { type Logger, pino } from 'pino';
import type { Config } from '../config/index.ts';

/** The log, on stdout: lines of JSON; in development, and on a terminal, lines for people. */
export async function createLogger({ logLevel, isDevelopment }: Config): Promise<Logger> {
  if (!isDevelopment || !process.stdout.isTTY) return pino({ level: logLevel });
  // Where it is not wanted, it is not loaded.
  const { default: pretty } = await import('pino-pretty');
  const stream = pretty({
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    errorLikeObjectKeys: ['defect'],
    sync: true,
  });
  return pino({ level: logLevel }, stream);
}
