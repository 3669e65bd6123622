import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { assertConsistent, outputType } from '../../src/credential-kinds/consistency.ts';
import { type CredentialKind, defineCredentialKind } from '../../src/credential-kinds/define.ts';
import { choice, secret, text } from '../../src/fields/field.ts';
import { Redacted } from '../../src/redacted.ts';
import { credentialKinds, isNullable, kindOf, readableKinds } from '../kinds.ts';

const folder = new URL('../../src/credential-kinds/', import.meta.url);
const isKind = (value: unknown): value is CredentialKind =>
  typeof value === 'object' && value !== null && 'kind' in value && 'fields' in value;

describe('the catalogue', () => {
  it('lists every kind that a file of the folder defines', async () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.ts') && file !== 'index.ts');
    const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
    const defined = modules.flatMap((module) => Object.values(module).filter(isKind)).map(({ kind }) => kind);
    expect(credentialKinds.map(({ kind }) => kind).sort()).toEqual(defined.sort());
    expect(defined).toHaveLength(29);
  });

  it('V18f: reads back all but the authorization code, which becomes an oauth2Token', () => {
    expect(credentialKinds.filter((kind) => !readableKinds.includes(kind))).toEqual([kindOf('oauth2Code')]);
    expect(readableKinds).toHaveLength(28);
    expect(kindOf('oauth2Code')?.storedAs).toBe('oauth2Token');
  });

  it('finds a kind by its name, and nothing by another', () => {
    expect(credentialKinds.every((kind) => kindOf(kind.kind) === kind)).toBe(true);
    expect(kindOf('toString')).toBeUndefined();
    expect(kindOf('BasicAuth')).toBeUndefined();
  });

  it('describes every kind, fact and enum value', () => {
    for (const { description, facts = {}, fields } of credentialKinds) {
      const choices = Object.values(fields).flatMap((field) => (field.type === 'Choice' ? [field.choices] : []));
      const objects = Object.values(facts).flatMap(({ type }) => (typeof type === 'object' ? [type, ...Object.values(type.members)] : []));
      const descriptions = [
        description,
        ...Object.values(facts).map((fact) => fact.description),
        ...objects.map((member) => member.description),
      ];
      for (const each of [...descriptions, ...choices.flatMap((set) => [set.description, ...Object.values<string>(set.values)])])
        expect(each).toMatch(/^[A-Z].*\.$/s);
    }
  });

  it('makes a setting nullable when any readable kind may lack it; secrets and lists never', () => {
    expect(isNullable('username')).toBe(true); // optional in git only
    expect(isNullable('cloneUrl')).toBe(false);
    expect(isNullable('scopes')).toBe(false);
    expect(isNullable('refreshToken')).toBe(false);
    expect(() => isNullable('state')).toThrow('No readable credential kind has a field state.');
  });
});

describe('kinds that cannot stand in one schema', () => {
  const username = text({ description: 'A name.', maxLength: 10, example: 'ada', invalidExample: '' });
  const colour = { enumName: 'Colour', description: 'A colour.', values: { RED: 'Red.' } } as const;
  const make = (kind: string, fields: CredentialKind['fields'], more: Partial<CredentialKind> = {}) =>
    defineCredentialKind({
      kind,
      typeName: `${kind[0]?.toUpperCase()}${kind.slice(1)}Credential`,
      description: 'For a test.',
      fields,
      ...more,
    });
  const one = make('one', { username });

  it.each([
    [
      'a secret here and a setting there',
      make('two', { username: secret(username) }),
      'one and two disagree about username: String there, Secret here',
    ],
    [
      'a field here and a fact there',
      make('two', {}, { facts: { username: { type: 'Boolean', description: 'Odd.' } } }),
      'disagree about username',
    ],
    ['the same kind twice', make('one', {}, { typeName: 'OtherCredential' }), 'one is listed twice'],
    ['the same type twice', make('two', {}, { typeName: 'OneCredential' }), 'one and two both define OneCredential'],
    ['a name that every credential has', make('two', { expiresAt: username }), 'expiresAt is a field that every credential has'],
    ['a kind stored as one that does not exist', make('two', {}, { storedAs: 'three' }), 'stored as three'],
    [
      'an enum value in lower case',
      make('two', { c: choiceOf({ ...colour, values: { red: 'Red.' } }) }),
      'Colour.red is not in UPPER_CASE',
    ],
    ['a narrowing to what is not there', make('two', { c: { ...choiceOf(colour), only: ['BLUE'] } }), 'BLUE is not in Colour'],
  ])('are refused: %s', (_, two, message) => {
    expect(() => assertConsistent([one, two])).toThrow(message);
  });

  it('are refused: two enums of one name', () => {
    const kinds = [make('two', { c: choiceOf(colour) }), make('three', { d: choiceOf({ ...colour }) })];
    expect(() => assertConsistent(kinds)).toThrow('two and three both define Colour; share one value');
    expect(() => assertConsistent([make('two', { c: choiceOf(colour) }), make('three', { d: choiceOf(colour) })])).not.toThrow();
  });

  it('are refused when one definition contradicts itself', () => {
    expect(() => make('Two', {})).toThrow('the kind must be in camelCase');
    expect(() => make('two', {}, { typeName: 'Two' })).toThrow('end in Credential');
    expect(() => make('two', { username }, { internalFacts: { username: 'Odd.' } })).toThrow('username is defined twice');
    expect(() => make('two', { username }, { generate: { field: 'username', make: async () => new Redacted('') } })).toThrow(
      'only a secret can be generated',
    );
  });

  it.each(['constructor', 'toString', 'valueOf', 'hasOwnProperty', '__proto__', '__secret'])(
    'are refused when they use the name %s',
    (name) => {
      const why = name === '__secret' ? `${name} begins with __` : `${name} is a name that every JavaScript object has`;
      const named = <T>(value: T) => Object.fromEntries([[name, value]]);
      if (!name.startsWith('__')) expect(() => make(name, {}, { typeName: 'TwoCredential' })).toThrow(why);
      expect(() => make('two', named(username))).toThrow(why);
      expect(() => make('two', {}, { facts: named({ type: 'Boolean', description: 'Odd.' }) })).toThrow(why);
      expect(() => make('two', {}, { internalFacts: named('Odd.') })).toThrow(why);
    },
  );

  it('are refused when their type is that of altered credentials', () => {
    expect(() => make('two', {}, { typeName: 'AlteredCredential' })).toThrow(
      'the type name AlteredCredential is that of credentials that were altered',
    );
  });

  it('names the type under which a member is read', () => {
    expect(outputType(username)).toBe('String');
    expect(outputType(choiceOf(colour))).toBe('Colour');
    expect(outputType({ ...username, secret: true })).toBe('Secret');
  });

  function choiceOf(choices: { enumName: string; description: string; values: Record<string, string> }) {
    return choice({ description: 'A colour.', choices, example: 'RED', invalidExample: 'GREEN' });
  }
});

it('a definition knows the types of its own fields', () => {
  defineCredentialKind({
    kind: 'typed',
    typeName: 'TypedCredential',
    description: 'For the compiler.',
    fields: { pin: secret({ description: 'A PIN.', maxLength: 4, example: '1234', invalidExample: '' }) },
    derive: ({ secrets, settings, isSet }) => {
      const pin: Redacted | undefined = secrets.pin;
      const set: boolean = isSet.pin;
      // @ts-expect-error: a secret is not among the settings
      return { pin, set, other: settings.pin };
    },
  });
});
