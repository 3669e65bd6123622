import { afterEach, expect, it } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';
import { signed } from '../vault.ts';

const test = useTestGateway();
const collection = (name: string) => test.database.collection<Json>(name);

// What a test leaves would be swept in another.
afterEach(async () => {
  await collection('organizations').updateMany({}, { $set: { deletedAt: new Date() } });
});

/** Makes an organization with credentials that expire in an hour, the first of them bound to a connection; answers its name. */
async function seed(count: number): Promise<string> {
  const organizationId = test.newOrganization();
  const caller = { organization: organizationId };
  const integration = { name: 'crm' };
  const create = { name: 'bound', expiresAt: new Date(Date.now() + 3_600_000), data: { string: { value: 'x' } } };
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Connection', { integration, name: 'main', actionCredentials: [{ credential: { create } }] });
  const bound = (await collection('credentials').findOne({ organizationId }))!;
  const copy = (index: number) => signed(test, 'credential', { ...bound, _id: `${organizationId} ${index}`, name: 'unbound' });
  const others = await Promise.all(Array.from({ length: count - 1 }, (_, index) => copy(index)));
  await collection('credentials').insertMany(others);
  return organizationId;
}
const left = async (organizationId: string) => (await collection('credentials').find({ organizationId }).toArray()).map(({ name }) => name);

async function inTwoHours<T>(run: () => Promise<T>): Promise<T> {
  test.time = () => new Date(Date.now() + 7_200_000);
  return run().finally(() => {
    test.time = () => new Date();
  });
}

it('a sweep goes on until nothing is left', async () => {
  const organization = await seed(120);
  expect(await inTwoHours(test.gateway.sweep)).toBe(120);
  expect(await left(organization)).toEqual([]);
});

// Somebody's broken data, or a bug that only they meet, must not keep everybody's expired secrets.
it('what fails is told at the end, and keeps neither its neighbours nor other organizations from being swept', async () => {
  const [broken, other] = [await seed(3), await seed(2)];
  const connection = (await collection('connections').findOne({ organizationId: broken }))!;
  const write = async (actionCredentials: unknown) =>
    collection('connections').replaceOne({ _id: connection._id }, await signed(test, 'connection', { ...connection, actionCredentials }));
  await write(null);

  const failure = await inTwoHours(() => test.gateway.sweep().catch((error: unknown) => error));
  expect(failure).toBeInstanceOf(AggregateError);
  expect(failure).toMatchObject({ errors: [expect.any(TypeError)] });
  expect(await left(other)).toEqual([]);
  expect(await left(broken)).toEqual(['bound']);
  expect(await collection('secrets').countDocuments({ organizationId: broken })).toBe(1);

  await write([]);
  expect(await inTwoHours(test.gateway.sweep)).toBe(1);
  expect(await left(broken)).toEqual([]);
});
