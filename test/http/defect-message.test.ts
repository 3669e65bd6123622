import { randomInt } from 'node:crypto';
import { inspect } from 'node:util';
import { MongoServerError } from 'mongodb';
import { Schema as MongooseSchema, model } from 'mongoose';
import { describe, expect, it } from 'vitest';
import { loggableDefect } from '../../src/errors.ts';
import { defectMessages } from '../../src/http/defect-message.ts';
import { createSchema } from '../../src/schema/index.ts';
import { type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { kindRegistry } from '../kinds.ts';

const tellOf = defectMessages(createSchema(kindRegistry));
const tell = tellOf({ values: [] });

describe('of the message of a defect what is ours is told', () => {
  it.each([
    "Cannot read properties of undefined (reading 'connection')",
    'The organization has no token key.',
    'Maximum call stack size exceeded',
    'Credential validation failed: name: Path `name` is required.',
  ])('all of it: %s', (message) => expect(tell(message)).toBe(message));

  it.each([
    ['undefinedThing is not a function', '[…] is not a function'],
    [`Unexpected token 'h', "hunter2" is not valid JSON`, 'Unexpected token […] is not valid JSON'],
    ['Cannot convert hunter2 to a BigInt', 'Cannot convert […] to a BigInt'],
    [
      'Cast to ObjectId failed for value "hunter2" (type string) at path "enabled" for model "Credential"',
      'Cast to […] failed for value […] (type string) at path "enabled" for model "Credential"',
    ],
    [
      'E11000 duplicate key error collection: gateway.credentials index: name_1 dup key: { name: "hunter2" }',
      '[…] duplicate key error collection […] index […]',
    ],
    ['hunter2', '[…]'],
    ['', '[…]'],
  ])('and the rest masked: %s', (message, told) => expect(tell(message)).toBe(told));
});

describe('what may be a caller\u2019s is masked', () => {
  // Of our own words even, when they stand in what was sent.
  it.each<[string, Parameters<typeof tellOf>[0], string]>([
    ['in a variable', { values: [{ input: { name: 'Cannot' } }] }, '[…] read the value'],
    ['in another case', { values: [['CANNOT READ']] }, '[…] the value'],
    ['deep in a variable', { values: [{ a: [[{ b: 'of the value' }]] }] }, 'Cannot read […]'],
    ['as the name of a member', { values: [{ read: 1 }] }, 'Cannot […] the value'],
    ['in a literal', { query: '{ integration(by: { name: "read" }) { id } }', values: [] }, 'Cannot […] the value'],
    ['in a literal, escaped', { query: '{ integration(by: { name: "\\u0072ead" }) { id } }', values: [] }, 'Cannot […] the value'],
    ['in a block', { query: '{ integration(by: { name: """read""" }) { id } }', values: [] }, 'Cannot […] the value'],
    ['as an alias', { query: '{ read: integrations { totalCount } }', values: [] }, 'Cannot […] the value'],
    ['as a variable', { query: 'query ($read: ID!) { credential(id: $read) { __typename } }', values: [] }, 'Cannot […] the value'],
    ['in what is no document', { query: '{ "read', values: [] }, 'Cannot […] the value'],
    [
      'where the schema has a name, in a literal',
      { query: '{ integration(by: { name: "value" }) { id } }', values: [] },
      'Cannot read the […]',
    ],
  ])('%s', (_, sent, told) => expect(tellOf(sent)('Cannot read the value')).toBe(told));

  it.each([
    ['a sentence in quotes', 'The value "open the collection" is not valid', 'The value […] is not valid'],
    ['quotes that do not close', 'The value "open the collection', 'The value […]'],
    ['quotes in quotes', `The value 'it is "open" and' is not valid`, 'The value […] is not valid'],
    ['words in something else', 'The value is of-the-name of=the&name open/the\\name open.the', 'The value is […]'],
    ['what is cut', 'The value open... is not valid', 'The value […] not valid'],
    ['another script', 'The value \u043Fароль is not valid', 'The value […] is not valid'],
    ['letters that look alike', 'The n\u0430me is not valid', 'The […] is not valid'],
    ['numbers', 'The value 4711 is not 0', 'The value […] is not […]'],
    ['lines', 'The value\nname\nis not valid', 'The […] not valid'],
  ])('%s', (_, message, told) => expect(tell(message)).toBe(told));

  it('when the message goes on for long', () => {
    const told = tell('the value '.repeat(1_000));
    expect(told.length).toBeLessThan(1_100);
    expect(told).toMatch(/ \[…\]$/);
    // What is cut off may be the beginning of another word.
    expect(tell(`${'the value '.repeat(99)}and the names`)).toMatch(/and the \[…\]$/);
  });

  it('in whatever form the value stands', () => {
    const letters = 'zqkvxjw0123456789';
    for (let round = 0; round < 300; round++) {
      const value = Array.from({ length: 4 + randomInt(60) }, () => letters[randomInt(letters.length)]).join('');
      const nested = { name: value, more: [{ [value]: `${value}'s "${value}"` }], long: value.repeat(200) };
      const start = randomInt(value.length);
      const forms = [
        value,
        value.toUpperCase(),
        value.slice(start),
        `${value.slice(0, start)}...`,
        [...value].join(' '),
        [...value].join('\n'),
        value.replace(/(..)/g, '$1, '),
        inspect(nested),
        inspect(nested, { breakLength: 20, maxStringLength: 10, compact: false }),
        JSON.stringify(nested),
        JSON.stringify(JSON.stringify(nested)),
        encodeURIComponent(JSON.stringify(nested)),
        Buffer.from(value).toString('base64'),
        Buffer.from(value).toString('hex'),
        Buffer.from(value, 'utf16le').toString('latin1'),
      ];
      for (const form of forms) {
        for (const message of [
          form,
          `The value ${form} is not valid`,
          `Path \`name\` (\`${form}\`, length 7) is not valid.`,
          `${form} of the ${form}`,
        ]) {
          const told = tell(message);
          expect(told.replace(/\[…\]|[Tt]he|value|is|not|valid|Path|name|length|of|more|[ ().`,:]/g, ''), `${message}\n${told}`).toBe('');
        }
      }
    }
  });

  it('by mongoose, which inspects it', async () => {
    const { String: Text, Boolean: Flag } = MongooseSchema.Types;
    const Credential = model(`Credential`, new MongooseSchema({ name: { type: Text, maxlength: 3 }, enabled: Flag }));
    const hunter = { password: 'hunter2', "it's": ['hunter2 is "open"'] };
    const error = await new Credential({ name: 'hunter2', enabled: hunter }).validate().catch((thrown: Error) => thrown);
    const told = JSON.stringify(loggableDefect(error, tell));
    expect(told).toContain('Credential validation failed');
    expect(told).not.toMatch(/hunter|password|open/);
  });
});

describe('a defect as it is logged', () => {
  const error = new Error('the value', {
    cause: new MongoServerError({ message: 'duplicate key', code: 11000, keyValue: { name: 'hunter2' } }),
  });

  it('is class, code and place, unless messages may be told', () => {
    expect(loggableDefect(error)).toEqual({
      name: 'Error',
      code: undefined,
      at: expect.arrayContaining([expect.stringContaining('defect-message.test.ts')]),
    });
    expect(loggableDefect(error, tell)).toMatchObject({
      message: 'the value',
      cause: { name: 'MongoServerError', code: 11000, message: 'duplicate key' },
    });
  });

  it('ends with a cause that is its own', () => {
    const own = new Error('the value');
    own.cause = own;
    expect(JSON.stringify(loggableDefect(own, tell)).match(/"message"/g)).toHaveLength(6);
  });

  it.each([
    ['a message that looks like frames', new Error('no\n    at hunter2 (hunter2:1:1)')],
    ['a name that looks like frames', Object.assign(new Error(''), { name: 'no\n    at hunter2 (hunter2:1:1)' })],
    ['a message that was changed after it was printed', changed('no\n    at hunter2 (hunter2:1:1)')],
  ])('has the frames of its own: %s', (_, thrown) => expect(JSON.stringify(loggableDefect(thrown))).not.toContain('hunter2'));

  function changed(message: string): Error {
    const thrown = new Error(message);
    expect(thrown.stack).toContain('hunter2');
    thrown.message = 'none';
    return thrown;
  }
});

describe('through the front door', () => {
  const development = new TestGateway();
  development.logsDefectMessages = true;
  for (const [test, told] of [
    [useTestGateway(development), { message: "Cannot read properties of undefined (reading 'name')" }],
    [useTestGateway(), {}],
  ] as const) {
    it(`a defect is logged under the id of its request, ${test.logsDefectMessages ? 'with' : 'without'} its message`, async () => {
      const caller: Caller = { organization: test.newOrganization() };
      const usual = test.time;
      test.time = () => {
        if (/\/src\/domain\//.test(new Error().stack!)) throw new TypeError("Cannot read properties of undefined (reading 'name')");
        return usual();
      };
      const { headers, text } = await test.answer(caller, 'mutation { createIntegration(input: { name: "crm" }) { __typename } }');
      test.time = usual;
      expect(text).toContain('INTERNAL_SERVER_ERROR');
      const logged = test.logs.map((line): Json => JSON.parse(line)).find(({ defect }) => defect);
      expect(logged).toMatchObject({ requestId: headers.get('x-request-id'), defect: { name: 'TypeError', ...told } });
      expect('message' in logged.defect).toBe(test.logsDefectMessages);
    });
  }
});
