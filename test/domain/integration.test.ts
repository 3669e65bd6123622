import { describe, expect, it } from 'vitest';
import { type Caller, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();
const fields = 'id name description version createdAt updatedAt';

async function setUp(): Promise<{ caller: Caller; id: string }> {
  const caller = { organization: test.newOrganization() };
  return { caller, id: (await test.create(caller, 'Integration', { name: 'crm', description: 'for sales' })).id };
}
const read = async (caller: Caller, by: object) =>
  (await test.query(caller, `query ($by: IntegrationRef!) { integration(by: $by) { ${fields} } }`, { by })).integration;

describe('an update', () => {
  it('keeps what is absent, clears what is null, and counts the version up', async () => {
    const { caller, id } = await setUp();
    const update = async (input: object) =>
      (await run(test, caller, 'updateIntegration', { integration: { id }, ...input }, fields)).integration;
    expect(await update({ name: 'sales' })).toMatchObject({ name: 'sales', description: 'for sales', version: 2 });
    expect(await update({ description: null })).toMatchObject({ name: 'sales', description: null, version: 3 });
    expect(await update({})).toMatchObject({ name: 'sales', description: null, version: 3 });
    expect(await read(caller, { id })).toMatchObject({ name: 'sales', description: null, version: 3 });
  });

  it('answers what is read afterwards', async () => {
    const { caller, id } = await setUp();
    const { integration } = await run(test, caller, 'updateIntegration', { integration: { id }, name: 'Ω \u{1F600}' }, fields);
    expect(await read(caller, { id })).toEqual(integration);
  });

  it('renames: the id stays, the old name is free', async () => {
    const { caller, id } = await setUp();
    await run(test, caller, 'updateIntegration', { integration: { name: 'crm' }, name: 'sales' });
    expect((await read(caller, { name: 'sales' })).id).toBe(id);
    expect(await read(caller, { name: 'crm' })).toBeNull();
    expect((await test.create(caller, 'Integration', { name: 'crm' })).id).not.toBe(id);
  });

  it('to its own name is no conflict', async () => {
    const { caller, id } = await setUp();
    const result = await run(test, caller, 'updateIntegration', { integration: { id }, name: 'crm', expectedVersion: 1 });
    expect(result.__typename).toBe('UpdateIntegrationSuccess');
  });
});

it('is of one organization: another has its own of the same name', async () => {
  const { caller, id } = await setUp();
  const other = await setUp();
  expect(other.id).not.toBe(id);
  expect((await read(other.caller, { name: 'crm' })).id).toBe(other.id);
  expect(await read(other.caller, { id })).toBeNull();
  expect((await test.query(caller, '{ integrations { totalCount } }')).integrations.totalCount).toBe(1);
});
