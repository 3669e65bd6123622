import { errorCodes } from '../../src/errors.ts';
import { type Answer, type Json, type TestGateway, useTestGateway as useAnyTestGateway } from '../harness.ts';

/** What left the gateway, but for what is different each time. Two answers that equal each other in this tell nothing apart. */
export function comparable({ status, text, headers }: Answer): Json {
  const changing = /^(x-request-id|date|ratelimit.*|retry-after)$/;
  const { extensions: _, ...body } = JSON.parse(text);
  return {
    status,
    body: JSON.stringify(body),
    headers: [...headers].filter(([name]) => !changing.test(name) && name !== 'content-length'),
  };
}

/** The codes that an answer holds: of its errors, and of the results of its mutations. */
export function codesOf({ data, errors = [] }: Pick<Answer, 'data' | 'errors'>): string[] {
  const results: Json[] = Object.values(data ?? {});
  const ofResults = results
    .filter((result) => typeof result?.code === 'string' && typeof result?.message === 'string')
    .map(({ code }) => code);
  return [...errors.map(({ extensions }) => extensions?.code), ...ofResults];
}

/** A gateway for the tests of a file. Whatever they ask, no answer holds a code that is not among those that are written down. */
export function useTestGateway(): TestGateway {
  const test = useAnyTestGateway();
  const send = test.send.bind(test);
  test.send = async (...args) => {
    const answer = await send(...args);
    for (const code of codesOf(answer)) if (!(code in errorCodes)) throw new Error(`The code ${code} is none.\n${answer.text}`);
    return answer;
  };
  return test;
}
