import { expect, it } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
it('x', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = { name: 'crm' };
  await test.create(caller, 'Integration', integration);
  const c = await test.create(
    caller,
    'Credential',
    { integration, name: 'a', data: { string: { value: 'x' } } },
    'id state runsOutAt checkedAt problems { code } errors',
  );
  console.log(c);
  const n = await test.create(
    caller,
    'Connection',
    { integration, name: 'main', actionCredentials: [{ credential: { id: c.id } }] },
    'id state problems { code } checkedAt',
  );
  console.log(n);
  console.log(
    JSON.stringify(
      await test.query(
        caller,
        '{ credentials(state: UNKNOWN) { totalCount nodes { ... on CredentialBase { name state } } } connections(state: UNKNOWN) { nodes { name state } } }',
      ),
    ),
  );
  const doc: Json = await test.database.collection('connections').findOne({});
  console.log(doc);
});
