import { expect, it } from 'vitest';
import { useTestGateway } from '../harness.ts';
import { newVault, reveal, sealKeys } from '../vault.ts';

const test = useTestGateway();
const list = '{ credentials { nodes { ... on CredentialBase { id errors } ... on StringCredential { value { isSet redacted } } } } }';

it('a destroyed key is a state of its credentials, which lists tell', async () => {
  const { caller, values } = await newVault(test, 3);
  const ids = [...values.keys()];
  const plain = (errors: string[] | null) => (id: string) => ({ id, errors, value: { isSet: true, redacted: '*****' } });
  const nodes = async () => {
    const { credentials } = await test.query(caller, list);
    return new Map(credentials.nodes.map((node: { id: string }) => [node.id, node]));
  };
  expect(await nodes()).toEqual(new Map(ids.map((id) => [id, plain(null)(id)])));

  const keys = test.database.collection<{ _id: string }>('dataKeys');
  const [key] = await sealKeys(test, caller.organization);
  await keys.updateOne({ _id: key!._id }, { $set: { state: 'destroyed' }, $unset: { wrapped: 1 } });
  expect(await nodes()).toEqual(new Map(ids.map((id) => [id, plain(['The secret value cannot be opened.'])(id)])));
  expect(await reveal(test, caller, ids[0]!)).toBe('UNREADABLE_SECRET');

  // One whose ciphertext is gone, among others that open.
  await keys.updateOne({ _id: key!._id }, { $set: { state: 'current', wrapped: key!.wrapped } });
  const secrets = test.database.collection('secrets');
  const gone = (await secrets.findOneAndDelete({ organizationId: caller.organization }))!;
  const { _id } = (await test.database.collection<{ _id: string }>('credentials').findOne({ _id: gone.credentialId }))!;
  const told = [...(await nodes()).values()] as { id: string; errors: string[] | null }[];
  expect(told.filter(({ errors }) => errors)).toHaveLength(1);
  expect(Buffer.from(told.find(({ errors }) => errors)!.id, 'base64url').toString()).toContain(_id);
});

it('is looked up together, and only when asked for', async () => {
  const { caller } = await newVault(test, 12);
  await test.query(caller, list);
  const asked = await test.countCommands(() => test.query(caller, list));
  expect(asked).toEqual(['aggregate', 'find', 'find']);
  const unasked = await test.countCommands(() => test.query(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }'));
  expect(unasked).toEqual(['aggregate']);
});
