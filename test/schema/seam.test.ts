import { expect, it } from 'vitest';
import { connectionFields, createConnection, updateConnection } from '../../src/domain/connection.ts';
import { createKit, type Kit } from '../../src/schema/kit/index.ts';
import { kindRegistry } from '../kinds.ts';

// The seam between schema and domain is for the compiler: `npm run types` fails when one of these calls begins to compile.
// A member that the domain does not take would be answered with Success and dropped.
function seam({ builder, connection, fields, input, integration }: Kit) {
  const common = { description: 'For the compiler.', errors: [] };
  const members = { integration: integration.member({ required: true, description: 'Where.' }), ...fields.inputFields(connectionFields) };

  connection.create({ ...common, input: members, run: createConnection });
  // @ts-expect-error: the domain does not take the member `unknownMember`
  connection.create({ ...common, input: { ...members, unknownMember: input.string() }, run: createConnection });
  // @ts-expect-error: nor on update
  connection.update({ ...common, input: { unknownMember: input.string() }, run: updateConnection });

  const nested = builder.inputType('Nested', {
    fields: (t) => ({ name: t.string({ required: true }), value: t.string({ required: true }), unknownMember: t.string() }),
  });
  // @ts-expect-error: nor one of an object in a list
  connection.create({ ...common, input: { ...members, variables: input.field({ type: [nested] }) }, run: createConnection });

  const { name: _, ...nameless } = members;
  // @ts-expect-error: the domain needs the name
  connection.create({ ...common, input: nameless, run: createConnection });
  // @ts-expect-error: the domain takes text
  connection.create({ ...common, input: { ...members, name: input.int({ required: true }) }, run: createConnection });
}

it('compiles what fits, and nothing else', () => {
  expect(seam).toBeInstanceOf(Function);
  expect(createKit(kindRegistry).connection).toBeDefined();
});
