import { expect, it } from 'vitest';
import { useTestGateway } from '../harness.ts';

const test = useTestGateway();

it('creates, reads, updates and reveals', async () => {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  const { id } = await test.create(caller, 'Credential', {
    integration: { name: 'crm' },
    name: 'mine',
    data: { basicAuth: { username: 'ada', password: 'first secret' } },
  });
  const read = await test.query(
    caller,
    'query ($id: ID!) { credential(id: $id) { ... on BasicAuthCredential { username password { isSet redacted fingerprint } } } }',
    { id },
  );
  expect(read.credential).toMatchObject({ username: 'ada', password: { isSet: true, redacted: '*****' } });
  const revealed = await test.query(
    caller,
    'mutation ($id: ID!) { revealSecret(credentialId: $id, field: "password", reason: "test") { ... on RevealSecretSuccess { secret { plaintext } } } }',
    { id },
  );
  expect(revealed.revealSecret.secret.plaintext).toBe('first secret');
});
