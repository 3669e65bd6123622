import { AwsV4Signer } from 'aws4fetch';
import type { Signing } from './index.ts';

/** AWS refuses most requests whose signature is older. S3 accepts 15 minutes. */
const ACCEPTED_MS = 5 * 60_000;

type Parts = 'accessKeyId' | 'secretAccessKey' | 'sessionToken' | 'region' | 'service';

/**
 * Returns the headers of an AWS Signature Version 4. It covers the method, the URL, the host, the digest of the body, and the headers of the request
 * that begin with `X-Amz-`: others can be changed on the way by what sends the request. Without a service, the host tells it.
 */
export async function awsHeaders({ method, url, headers, parts, now }: Signing<Parts>, bodySha256: string) {
  const { sessionToken, service, ...key } = parts;
  const signer = new AwsV4Signer({
    method,
    url: url.href,
    headers: [
      ...headers.filter(([name]) => /^x-amz-/i.test(name)).map(([name, value]) => [name, value] as [string, string]),
      ['X-Amz-Content-Sha256', bodySha256],
    ],
    ...key,
    ...(sessionToken !== '' && { sessionToken }),
    ...(service !== '' && { service }),
    datetime: now.toISOString().replace(/[:-]|\.\d{3}/g, ''),
  });
  const signed = (await signer.sign()).headers;
  const names = ['Authorization', 'X-Amz-Date', 'X-Amz-Content-Sha256', ...(sessionToken === '' ? [] : ['X-Amz-Security-Token'])];
  return {
    headers: names.map((name) => [name, signed.get(name) ?? ''] as const),
    expiresAt: new Date(now.getTime() + ACCEPTED_MS),
  };
}

/** Whether the host tells for which service of AWS its requests are signed. */
export function tellsAwsService(host: string): boolean {
  return new AwsV4Signer({ url: `https://${host}/`, accessKeyId: '-', secretAccessKey: '-' }).service !== '';
}
