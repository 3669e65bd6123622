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

// What a reveal says, `errors` says too, and says before.
it('a ciphertext that was changed, moved or replaced is told by both', async () => {
  const { caller, values } = await newVault(test, 6);
  const secrets = test.database.collection('secrets');
  const all = await secrets.find({ organizationId: caller.organization }).sort({ _id: 1 }).toArray();
  const change = (index: number, sealed: string) => secrets.updateOne({ _id: all[index]!._id }, { $set: { sealed } });
  const parts = (index: number): string[] => all[index]!.sealed.split('.');
  const flipped = (text: string) => (text[0] === 'A' ? 'B' : 'A') + text.slice(1);
  await change(
    0,
    parts(0)
      .with(3, flipped(parts(0)[3]!))
      .join('.'),
  );
  await change(
    1,
    parts(1)
      .with(4, flipped(parts(1)[4]!))
      .join('.'),
  );
  await change(
    2,
    parts(2)
      .with(2, flipped(parts(2)[2]!))
      .join('.'),
  );
  await change(3, all[4]!.sealed);
  await change(4, 'broken');
  const { credentials } = await test.query(caller, list);
  expect(values.size).toBe(6);
  const told: boolean[] = [];
  for (const { id, errors } of credentials.nodes) {
    const revealed = await reveal(test, caller, id);
    expect([errors, revealed === 'UNREADABLE_SECRET']).toEqual(
      errors === null ? [null, false] : [['The secret value cannot be opened.'], true],
    );
    told.push(errors !== null);
  }
  expect(told.filter(Boolean)).toHaveLength(5);
});

it('is looked up together, and only when asked for', async () => {
  const { caller } = await newVault(test, 12);
  await test.query(caller, list);
  const asked = await test.countCommands(() => test.query(caller, list));
  expect(asked).toEqual(['aggregate', 'find', 'find']);
  const unasked = await test.countCommands(() => test.query(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }'));
  expect(unasked).toEqual(['aggregate']);
});
