import { beforeAll, describe, expect, it } from 'vitest';
import type { StoredParts } from '../../src/credential-kinds/validate.ts';
import { Redacted } from '../../src/redacted.ts';
import { credentialKinds } from '../kinds.ts';
import { errorOf, everyField, exampleData, issuesOf, prepareWrite, storedAfter, storedExample, textOfLength } from './examples.ts';

const CANARY = 'canary-7f3a91';

describe.each(credentialKinds.map((kind) => ({ name: kind.kind, kind })))('$name', ({ kind }) => {
  it('takes its examples, and gives settings plain and secrets as Redacted', async () => {
    const data = exampleData(kind);
    const write = await prepareWrite(kind, data);
    const fields = Object.entries(kind.fields);
    const names = (secret: boolean) => fields.filter(([, field]) => field.secret === secret).map(([name]) => name);
    expect(Object.keys(write.settings)).toEqual(names(false));
    expect(Object.keys(write.secrets)).toEqual(names(true));
    expect(write.unset).toEqual([]);
    for (const name of names(true)) {
      expect(write.secrets[name]).toBeInstanceOf(Redacted);
      expect(write.secrets[name]?.expose()).toBe(data[name]);
    }
    for (const [name, field] of fields.filter(([, { secret }]) => !secret))
      expect(write.settings[name]).toEqual(field.type === 'DateTime' ? new Date(field.example!) : field.example);
  });

  it('takes an update that changes nothing, and keeps everything (L27, Z27)', async () => {
    if (kind.storedAs) return;
    const stored = await storedExample(kind);
    expect(await prepareWrite(kind, {}, stored)).toEqual({
      settings: stored.settings,
      facts: stored.facts,
      secrets: {},
      unset: [],
      pending: [],
    });
  });

  it('may be without its secrets while they are to come, and is complete when they have come, whatever their order', async () => {
    if (kind.storedAs) return;
    const data = exampleData(kind, 'required');
    const secrets = Object.keys(kind.fields).filter((name) => kind.fields[name]!.secret);
    const required = secrets.filter((name) => !kind.fields[name]!.optional);
    const settings = Object.fromEntries(Object.entries(data).filter(([name]) => !secrets.includes(name)));
    const first = await prepareWrite(kind, settings, undefined, true);
    expect(first.secrets).toEqual({});
    expect(first.pending).toEqual(expect.arrayContaining(required));
    // What must be there besides them is what the whole example must have, too.
    if (first.pending.length > 0)
      expect((await issuesOf(kind, settings)).map(({ path }) => path[0])).toEqual(expect.arrayContaining(required));
    // What a fact tells about a secret is not told before there is one.
    for (const fact of Object.values(first.facts)) expect(fact).not.toMatchObject({ keyMatches: false });
    for (const order of [first.pending, first.pending.toReversed()]) {
      let stored = storedAfter(first);
      // A change of something else leaves it as it is.
      expect((await prepareWrite(kind, {}, stored)).pending).toEqual(first.pending);
      for (const [index, name] of order.entries()) {
        const write = await prepareWrite(kind, { [name]: kind.fields[name]!.example }, stored);
        expect(write.pending).toEqual(order.slice(index + 1).sort());
        stored = storedAfter(write, stored);
      }
      // Then its rules hold as for any other.
      for (const name of required) expect(await issuesOf(kind, { [name]: null }, stored)).toHaveLength(1);
      const whole = await prepareWrite(kind, {
        ...settings,
        ...Object.fromEntries(order.map((name) => [name, kind.fields[name]!.example])),
      });
      expect(stored).toEqual(storedAfter(whole));
    }
  });

  it('L23: refuses a field that it does not have, without repeating its name or value', async () => {
    const error = await errorOf(kind, { ...exampleData(kind), [CANARY]: CANARY });
    expect(error.issues).toEqual([{ path: [], message: expect.stringContaining('has a field that') }]);
    expect(error.message).not.toContain(CANARY);
    expect((await errorOf(kind, { ...exampleData(kind), [CANARY]: CANARY }, await storedExample(kind))).message).not.toContain(CANARY);
  });

  it('derives only facts that it declares', async () => {
    const declared = [...Object.keys(kind.facts ?? {}), ...Object.keys(kind.internalFacts ?? {})];
    for (const name of Object.keys((await prepareWrite(kind, exampleData(kind))).facts)) expect(declared).toContain(name);
  });

  it('lists every issue at once', async () => {
    const data = Object.fromEntries(Object.entries(kind.fields).map(([name, field]) => [name, field.invalidExample]));
    if (Object.keys(data).length === 0) return;
    expect((await issuesOf(kind, data)).map(({ path }) => path[0])).toEqual(Object.keys(data));
  });
});

describe.each(everyField)('$at', ({ kind, name, field }) => {
  const others = exampleData(kind);
  let stored: StoredParts;
  beforeAll(async () => {
    stored = await storedExample(kind);
  });
  /** What an update must give although it does not change it: nothing, but for a kind that only comes in. */
  const untouched = kind.storedAs ? exampleData(kind, 'required') : {};

  it('describes itself, as plain data', () => {
    expect(field.description).toMatch(/^[A-Z`].*[.?]$/s);
    expect(structuredClone(field)).toEqual(field);
  });

  it('refuses its invalid example, on create and on update', async () => {
    for (const issues of [
      await issuesOf(kind, { ...others, [name]: field.invalidExample }),
      await issuesOf(kind, { ...untouched, [name]: field.invalidExample }, stored),
    ]) {
      expect(issues).toHaveLength(1);
      expect(issues[0]?.path[0]).toBe(name);
    }
  });

  it('never repeats a value that it refuses, nor a part of it', async () => {
    const refused = [
      ...[{ [CANARY]: CANARY }, [[CANARY]], [{ [CANARY]: CANARY }]],
      ...(field.type === 'String' ? [`${CANARY}\ud800`, CANARY.repeat(10_000)] : [CANARY]),
    ];
    for (const value of refused) {
      for (const error of [
        await errorOf(kind, { ...others, [name]: value }),
        await errorOf(kind, { ...untouched, [name]: value }, stored),
      ]) {
        expect(error.issues[0]?.path[0]).toBe(name);
        expect(`${error.stack} ${JSON.stringify(error)} ${error.cause}`).not.toContain('canary');
      }
    }
  });

  if (field.type === 'String') {
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
      expect(await issuesOf(kind, { ...others, [name]: textOfLength(field, minLength - 1) })).toEqual([
        { path: [name], message: tooShort },
      ]);
    });
  }

  if (field.type === 'Choice') {
    it('takes each of its values in upper case, and nothing else', async () => {
      const values = field.only ?? Object.keys(field.choices.values);
      // RFC 8037 has the one exception.
      for (const value of values) if (value !== 'EdDSA') expect(value).toBe(value.toUpperCase());
      expect(values).toContain(field.example);
      expect(await issuesOf(kind, { ...others, [name]: values[0]?.toLowerCase() })).toEqual([
        { path: [name], message: `must be one of ${values.join(', ')}` },
      ]);
    });
  }

  if (field.type === 'StringList') {
    it('takes an empty list, and refuses too many items, and points at the bad item', async () => {
      const item = field.example![0] ?? '';
      expect((await prepareWrite(kind, { [name]: [] }, stored)).settings[name]).toEqual([]);
      await prepareWrite(kind, { ...others, [name]: Array(field.maxItems).fill(item) });
      expect(await issuesOf(kind, { ...others, [name]: Array(field.maxItems + 1).fill(item) })).toEqual([
        { path: [name], message: `must have at most ${field.maxItems} items` },
      ]);
      expect(await issuesOf(kind, { ...others, [name]: [item, 'a'.repeat(field.maxLength + 1)] })).toEqual([
        { path: [name, 1], message: `must be at most ${field.maxLength} characters` },
      ]);
    });
  }

  if (field.optional) {
    it('can be cleared with null, which leaves the rest', async () => {
      // One of two is required, and a temporary key requires its token: see rules.test.ts.
      if ((name === kind.generate?.field && kind.kind === 'snowflake') || name === 'sessionToken') return;
      const write = await prepareWrite(kind, { ...untouched, [name]: null }, stored);
      expect(write.settings).not.toHaveProperty(name);
      expect(write.unset).toEqual(field.secret ? [name] : []);
      expect(Object.keys(write.settings)).toEqual(Object.keys(stored.settings).filter((other) => other !== name));
    });
  } else {
    it('is required on create, and cannot be cleared', async () => {
      const { [name]: _, ...without } = others;
      expect(await issuesOf(kind, without)).toEqual([{ path: [name], message: 'is required' }]);
      expect(await issuesOf(kind, { ...others, [name]: null })).toEqual([{ path: [name], message: 'is required' }]);
      const message = kind.storedAs ? 'is required' : 'cannot be cleared';
      expect(await issuesOf(kind, { ...untouched, [name]: null }, stored)).toEqual([{ path: [name], message }]);
    });
  }
});
