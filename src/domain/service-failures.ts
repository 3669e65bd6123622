import type { ServiceFailure } from '../errors.ts';
import type { OutboundFailure } from '../services/outbound/index.ts';

/**
 * What callers are told of a request to a third party that failed. A name that does not exist and one with a forbidden address are the same: the
 * difference would tell which names exist in the network of the operator.
 */
export const serviceFailures: Readonly<Record<OutboundFailure, ServiceFailure>> = {
  // Our own door refuses these. The service has not heard of them.
  INVALID_REQUEST: 'NOT_ALLOWED',
  HTTPS_REQUIRED: 'NOT_ALLOWED',
  ADDRESS_NOT_ALLOWED: 'UNREACHABLE',
  NAME_NOT_FOUND: 'UNREACHABLE',
  CONNECTION_FAILED: 'UNREACHABLE',
  TLS_FAILED: 'UNREACHABLE',
  ABORTED: 'UNREACHABLE',
  TIMEOUT: 'TIMEOUT',
  TOO_LARGE: 'INVALID_ANSWER',
  INVALID_ANSWER: 'INVALID_ANSWER',
};
