import { errorCodes } from '../../src/errors.ts';
import { type Answer, bodyIn, type Json, type TestGateway, useTestGateway as useAnyTestGateway } from '../harness.ts';

/** What left the gateway, but for what is different each time. Two answers that equal each other in this tell nothing apart. */
export function comparable({ status, text, headers }: Answer): Json {
  const changing = /^(x-request-id|date|ratelimit.*|retry-after)$/;
  const { extensions: _, ...body } = bodyIn(text);
  return {
    status,
    body: JSON.stringify(body, (name, value) => (name === 'requestId' ? undefined : value)),
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

/** A gateway for the tests of a file. Whatever they ask, no answer holds a code that is not among those that are written down, or another id than its own. */
export function useTestGateway(): TestGateway {
  const test = useAnyTestGateway();
  const send = test.send.bind(test);
  test.send = async (...args) => {
    const answer = await send(...args);
    // Every error tells the id of its request, another one each time.
    for (const result of Object.values<Json>(answer.data ?? {})) {
      if (typeof result?.requestId !== 'string') continue;
      if (result.requestId !== answer.headers.get('x-request-id'))
        throw new Error(`A result has not the id of its request.\n${answer.text}`);
      delete result.requestId;
    }
    for (const code of codesOf(answer)) if (!(code in errorCodes)) throw new Error(`The code ${code} is none.\n${answer.text}`);
    return answer;
  };
  return test;
}
