import { createSecretKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { canonical, isMacOf, macOf, type RecordKey } from '../../src/secrets/record-mac.ts';
import { createVerifiedRecords } from '../../src/store/verified.ts';

const key: RecordKey = { keyId: 'key-1', key: createSecretKey(Buffer.alloc(32, 7)) };
const document = {
  _id: '0123456789abcdef01234567',
  organizationId: 'acme',
  name: 'Zo\u00eb \u{1F600}',
  version: 3,
  zero: -0,
  ratio: 0.5,
  enabled: true,
  hidden: false,
  none: null,
  createdAt: new Date(1_700_000_000_123),
  list: ['b', 'a', { z: 1, a: [] }],
  nested: { b: { c: 'd' }, a: '' },
  bytes: 17,
};
const TEXT =
  's3:_ids24:0123456789abcdef01234567s9:createdAtD1700000000123;s7:enabledts6:hiddenfs4:list[s1:bs1:a{s1:a[]s1:zd1;}]s4:names6:Zo\u00eb \u{1F600}s6:nested{s1:as0:s1:b{s1:cs1:d}}s4:nonens14:organizationIds4:acmes5:ratiod0.5;s7:versiond3;s4:zerod-0;';

// Every stored record has such a MAC: another form would make all of them altered.
it('a record has the MAC that earlier versions gave it', () => {
  const { bytes, ...covered } = document;
  expect(canonical(covered)).toBe(`{${TEXT}}`);
  expect(canonical({ ...covered, bytes })).toBe(`{${TEXT.replace('s9:createdAt', 's5:bytesd17;s9:createdAt')}}`);
  const mac = macOf(key, 'connection', covered);
  expect(mac).toBe('key-1.uXmzFrLT8IDkTf_KVxmazROd-5zZJF9QgJJa2An_VUY');
  const shuffled = Object.fromEntries(Object.entries(document).reverse());
  expect(macOf(key, 'connection', shuffled, new Set(['bytes']))).toBe(mac);
  expect(isMacOf(key, 'connection', document, mac, new Set(['bytes']))).toBe(true);
  // Only the document's own field is left out, and nothing else.
  expect(isMacOf(key, 'connection', { ...document, nested: { ...document.nested, bytes: 1 } }, mac, new Set(['bytes']))).toBe(false);
  expect(isMacOf(key, 'connection', document, mac)).toBe(false);
  expect(isMacOf(key, 'connector', covered, mac)).toBe(false);
  for (const value of [undefined, Symbol('x'), 1n, () => 1, new Map(), Buffer.alloc(1)]) {
    expect(() => canonical({ value })).toThrow(TypeError);
    expect(isMacOf(key, 'connection', { ...covered, value }, mac)).toBe(false);
  }
});

it('a verified record is found by exactly its bytes, noun and key, and nobody can change it', () => {
  const start = Buffer.from('\u0040\u0000\u0000\u0000\u0002_id\u0000\u0019\u0000\u0000\u00000123456789abcdef01234567\u0000', 'latin1');
  const bytes = Buffer.concat([start, Buffer.alloc(32, 1)]);
  const verified = createVerifiedRecords();
  const record = { id: '0123456789abcdef01234567', list: [{ a: 1 }], at: new Date(0) };
  expect(verified.find('connection', key, bytes)).toBeUndefined();
  const given = Buffer.from(bytes);
  verified.add('connection', key, given, record);
  // The driver's buffer can be used for something else afterwards.
  given.fill(0);
  expect(verified.find('connection', key, Buffer.from(bytes))).toBe(record);
  expect(verified.find('connector', key, bytes)).toBeUndefined();
  expect(verified.find('connection', { ...key }, bytes)).toBeUndefined();
  for (let index = 0; index < bytes.length; index++) {
    const other = Buffer.from(bytes);
    other[index]! ^= 1;
    expect(verified.find('connection', key, other)).toBeUndefined();
  }
  expect(verified.find('connection', key, bytes.subarray(0, -1))).toBeUndefined();
  expect(verified.find('connection', key, Buffer.concat([bytes, Buffer.alloc(1)]))).toBeUndefined();
  expect(() => Object.assign(record, { id: 'x' })).toThrow(TypeError);
  expect(() => Object.assign(record.list[0]!, { a: 2 })).toThrow(TypeError);
  // A document that does not begin with its id is not remembered, and a very large one neither.
  for (const odd of [Buffer.alloc(100), Buffer.concat([bytes, Buffer.alloc(100_000)])]) {
    verified.add('connection', key, odd, {});
    expect(verified.find('connection', key, odd)).toBeUndefined();
  }
});
