import { describe, expect, it } from 'vitest';
import { createKindRegistry } from '../../src/credential-kinds/registry.ts';
import { ValidationError } from '../../src/errors.ts';
import { createSchema } from '../../src/schema/index.ts';
import { credentialKindChecks } from '../../src/testing.ts';
import { credentialKinds } from '../kinds.ts';
import { everyField, exampleData, issuesOf, keyFilesHere, prepareWrite, storedExample, textOfLength } from './examples.ts';

// The built-in kinds keep the contract that is exported for kinds of one's own, and are held to a little more.

const schema = createSchema(createKindRegistry(credentialKinds));

describe.each(credentialKinds.map((kind) => ({ name: kind.kind, kind })))('$name', ({ kind }) => {
  it.each(credentialKindChecks(kind, { schema, keyFiles: keyFilesHere() }))('$name', ({ run }) => run());
});

describe.each(everyField.filter(({ field }) => field.type === 'String'))('$at', ({ kind, name, field }) => {
  if (field.type !== 'String') return;
  const others = exampleData(kind);
  it('takes a text of exactly its longest and shortest length, and refuses one more or less', async () => {
    const { minLength = 1, maxLength, maxBytes } = field;
    const longest = maxBytes === undefined ? textOfLength(field, maxLength) : Buffer.alloc(maxBytes).toString('base64');
    expect(longest).toHaveLength(maxLength);
    await prepareWrite(kind, { ...others, [name]: longest });
    expect(await issuesOf(kind, { ...others, [name]: `${longest}a` })).toEqual([
      { path: [name], message: `must be at most ${maxLength} characters` },
    ]);
    if (minLength === 0) return;
    const tooShort = minLength === 1 ? 'must not be empty' : `must be at least ${minLength} characters`;
    expect(await issuesOf(kind, { ...others, [name]: textOfLength(field, minLength - 1) })).toEqual([{ path: [name], message: tooShort }]);
  });
});

it('an optional field can be cleared, but for those that others need', async () => {
  const refused: string[] = [];
  for (const { at, kind, name, field } of everyField) {
    if (!field.optional || field.clearable === false) continue;
    const untouched = kind.storedAs ? exampleData(kind, 'required') : {};
    const stored = await storedExample(kind);
    await prepareWrite(kind, { ...untouched, [name]: null }, stored).catch((error) => {
      if (!(error instanceof ValidationError)) throw error;
      refused.push(at);
    });
  }
  // One of two is required, and a temporary key requires its token: see rules.test.ts.
  expect(refused).toEqual(['aws.sessionToken', 'snowflake.privateKey']);
});
