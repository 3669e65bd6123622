import { afterAll, beforeAll, expect, it } from 'vitest';
import { createOutbound, defaultOutbound, readAll } from '../../src/services/outbound/index.ts';
import { LocalService } from './local-service.ts';

const service = new LocalService();
beforeAll(() => service.start());
afterAll(() => service.stop());

it('sends a request over TLS and returns the answer', async () => {
  const outbound = createOutbound({ ...defaultOutbound, ...service.outbound });
  const url = new URL('/v1/things?a=1', service.origin('api.service.test'));
  service.answer = { status: 418, headers: { 'x-a': ['1', '2'] }, body: { a: 1 } };
  const answer = await outbound.request({ method: 'POST', url, headers: [['x-one', '1']], body: Buffer.from('hello') });
  expect([answer.status, String(await readAll(answer, 100))]).toEqual([418, '{"a":1}']);
  expect(service.last).toMatchObject({
    method: 'POST',
    target: '/v1/things?a=1',
    serverName: 'api.service.test',
    body: Buffer.from('hello'),
  });
  await outbound.stop();
});
