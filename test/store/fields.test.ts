import { describe, expect, it } from 'vitest';
import { anyText, list, mixed, nullable, number, object, optional, storable, storableWhole, text } from '../../src/store/fields.ts';

const fields = {
  name: text(),
  note: optional(nullable(anyText())),
  count: number(),
  settings: mixed<object>(),
  entries: list(object({ id: text(), note: optional(text()), parameters: optional(mixed<object>()) })),
};
const valid = { name: 'a', count: 1, settings: { b: [1] }, entries: [{ id: 'c', parameters: { d: {} } }] };

describe('what is stored', () => {
  it('is what was given, without what is undefined', () => {
    const given = { ...valid, note: undefined, settings: { b: [1, undefined], e: undefined }, entries: [{ id: 'c', note: undefined }] };
    expect(storable(fields, given)).toStrictEqual({ name: 'a', count: 1, settings: { b: [1, null] }, entries: [{ id: 'c' }] });
    expect(storable(fields, { note: null })).toStrictEqual({ note: null });
  });

  it.each<[string, object]>([
    ['a field that is not known', { other: 1 }],
    ['a field with the name of a member of every object', { constructor: 1 }],
    ['a value of another type', { name: 1 }],
    ['undefined for a field that must be there', { name: undefined }],
    ['null for a field that cannot be null', { count: null }],
    ['a text in place of a list', { entries: 'c' }],
    ['an item of another type', { entries: [1] }],
    ['a field of an item that is not known', { entries: [{ id: 'c', other: 1 }] }],
    ['a value of another type within an item', { entries: [{ id: 1 }] }],
    ['an item that lacks a field', { entries: [{}] }],
  ])('is never %s', (_, values) => {
    expect(() => storable(fields, { ...valid, ...values })).toThrow(TypeError);
  });

  it('lacks no field of a whole record', () => {
    expect(storableWhole(fields, valid)).toStrictEqual(valid);
    const { count: _, ...incomplete } = valid;
    expect(() => storableWhole(fields, incomplete)).toThrow(TypeError);
  });
});
