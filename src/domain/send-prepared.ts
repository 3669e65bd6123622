import type { OutboundRequest, OutboundResponse } from '../services/outbound/index.ts';
import type { DomainContext } from './context.ts';
import type { ProblemCode } from './findings.ts';
import type { PreparedRequest } from './use.ts';

/** How a prepared request is sent. */
export interface Sending {
  readonly method: string;
  /** Returns the rest of the request, for each attempt. */
  readonly rest: () => Omit<OutboundRequest, 'method' | 'url' | 'headers' | 'clientCertificate' | 'partition'>;
  /** Returns the request with another token after a 401. Null if there is none, or if the request cannot be sent again. */
  readonly renew: () => Promise<PreparedRequest | null>;
}

/**
 * Sends a prepared request over its connection, and once more with another token if the service refuses the first. Returns the last answer, and what
 * was sent for it.
 * @throws OutboundError, and what `renew` throws
 */
export async function sendPrepared(
  { outbound }: Pick<DomainContext, 'outbound'>,
  prepared: PreparedRequest,
  { method, rest, renew }: Sending,
): Promise<{ readonly answer: OutboundResponse; readonly sent: PreparedRequest }> {
  const send = ({ plan, clientCertificate, toSend }: PreparedRequest) => {
    const { url, headers } = toSend();
    return outbound.request({
      method,
      url,
      // The way out writes it by the URL. A signature covers the same one.
      headers: headers.filter(([name]) => name.toLowerCase() !== 'host'),
      ...(clientCertificate && { clientCertificate }),
      partition: plan.connection.id,
      ...rest(),
    });
  };
  const answer = await send(prepared);
  if (answer.status !== 401) return { answer, sent: prepared };
  let renewed: PreparedRequest | null = null;
  try {
    renewed = await renew();
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  if (!renewed) return { answer, sent: prepared };
  answer.body.destroy();
  return { answer: await send(renewed), sent: renewed };
}

/** What the status of an answer says about the credentials or the service. Null if nothing. */
export function problemOfStatus(status: number): ProblemCode | null {
  if (status === 401) return 'REFUSED';
  if (status === 403) return 'FORBIDDEN';
  return status >= 500 ? 'SERVICE_FAILED' : null;
}
