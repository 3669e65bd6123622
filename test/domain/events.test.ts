import { expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const FIELDS =
  'id type action reason objectType objectId causeId integrationId endUserId createdBy { kind subject } snapshot { version kind enabled credentialCount } previousState state problem expiry { what days } integrity';

async function page(caller: Caller, args = ''): Promise<Json> {
  const { events } = await test.query(
    caller,
    `{ events ${args && `(${args})`} { nodes { ${FIELDS} } readUpTo pageInfo { hasNextPage endCursor } } }`,
  );
  return events;
}

it('tells what was done', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const first = await page(caller);
  expect(first.nodes).toMatchObject([
    {
      type: 'CREATED',
      action: 'createIntegration',
      objectType: 'INTEGRATION',
      objectId: id,
      integrationId: id,
      createdBy: { kind: 'TOKEN', subject: 'tester' },
    },
  ]);
});
