// What `import … from 'credential-gateway/testing'` gives: the contract of credential kinds, for tests of kinds of one's own.
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { type GraphQLSchema, isInputObjectType, isObjectType } from 'graphql';
import type { CredentialKind, KindField } from './credential-kinds/define.ts';
import { builtInKinds } from './credential-kinds/index.ts';
import { createKindRegistry } from './credential-kinds/registry.ts';
import { type PreparedWrite, prepareWrite, type StoredParts } from './credential-kinds/validate.ts';
import { type Issue, ValidationError } from './errors.ts';
import type { KeyFiles } from './key-files/index.ts';
import { createKeyFilesPool } from './key-files/pool.ts';
import { Redacted } from './redacted.ts';
import { createSchema } from './schema/index.ts';

export type { CredentialKind } from './credential-kinds/define.ts';

/** One check of the contract. It belongs to no test runner: `it(check.name, check.run)`. */
export interface CredentialKindCheck {
  readonly name: string;
  /** Rejects with an `AssertionError` of Node.js if the kind breaks the contract. */
  readonly run: () => Promise<void>;
}

export interface CredentialKindChecksOptions {
  /** The schema that the kind stands in, such as that of a gateway. By default, one with the built-in kinds and the checked one. */
  readonly schema?: GraphQLSchema;
  /** What reads keys and certificates. By default, each check starts worker threads if it needs some, and ends them. */
  readonly keyFiles?: KeyFiles;
}

const CANARY = 'canary-7f3a91';

type Data = Readonly<Record<string, unknown>>;

/**
 * Returns the checks that every credential kind must pass: its examples are accepted, and its invalid examples refused; secrets are wrapped; nothing that
 * is refused is repeated; an update that changes nothing keeps everything; it stands in one schema with the other kinds.
 */
export function credentialKindChecks(kind: CredentialKind, options: CredentialKindChecksOptions = {}): readonly CredentialKindCheck[] {
  const checks: CredentialKindCheck[] = [];
  // The contract of its fields holds for a kind that is refused at present, too.
  const judged = { ...kind, refusal: undefined };
  const fields = Object.entries(kind.fields);
  const secretNames = fields.filter(([, field]) => field.secret).map(([name]) => name);
  const settingNames = fields.filter(([, field]) => !field.secret).map(([name]) => name);
  const required = exampleOf(fields.filter(([, field]) => !field.optional));
  const example = exampleOf(fields);
  /** What an update must give although it does not change it: nothing, but for a kind that only comes in. */
  const untouched = kind.storedAs ? required : {};

  const add = (name: string, run: (subject: Subject) => Promise<void>) =>
    checks.push({
      name: `${kind.kind}${name.startsWith('.') ? '' : ' '}${name}`,
      async run() {
        if (options.keyFiles) return run(subjectOf(judged, options.keyFiles));
        const pool = createKeyFilesPool();
        try {
          await run(subjectOf(judged, pool.of('checks')));
        } finally {
          await pool.stop();
        }
      },
    });

  add('has a type, an input and a form in one schema with the other kinds', async () => {
    const schema = options.schema ?? createSchema(createKindRegistry([...builtInKinds, kind]));
    const input = schema.getType('CredentialDataInput');
    ok(isInputObjectType(input) && kind.kind in input.getFields(), 'CredentialDataInput has no member for the kind');
    if (kind.storedAs) return;
    const type = schema.getType(kind.typeName);
    ok(isObjectType(type), `there is no type ${kind.typeName}`);
    for (const name of [...Object.keys(kind.fields), ...Object.keys(kind.facts ?? {})])
      ok(name in type.getFields(), `there is no field ${name}`);
  });

  add('takes its examples, and gives settings plain and secrets as Redacted', async ({ write }) => {
    const written = await write(example);
    deepStrictEqual(Object.keys(written.settings), settingNames);
    deepStrictEqual(Object.keys(written.secrets), secretNames);
    deepStrictEqual(written.unset, []);
    for (const name of secretNames)
      ok(written.secrets[name] instanceof Redacted && isExample(written.secrets[name], example[name]), `${name} is not its example`);
    for (const name of settingNames) {
      const field = kind.fields[name]!;
      deepStrictEqual(
        written.settings[name],
        field.type === 'DateTime' ? new Date(field.example!) : field.example,
        `${name} is not its example`,
      );
    }
  });

  if (kind.generate) {
    const { field, make } = kind.generate;
    add(`generates a ${field} that it takes as far as its own rules go`, async ({ keyFiles }) => {
      const { [field]: _, ...others } = example;
      const made = await make(keyFiles);
      ok(made instanceof Redacted, 'what was generated is not wrapped in Redacted');
      // A rule between fields may refuse to generate it for other examples.
      const written = await subjectOf({ ...judged, check: () => [] }, keyFiles).write({ ...others, generatePrivateKey: made });
      ok(field in written.secrets, `${field} is not set`);
    });
  }

  if (!kind.storedAs) {
    add('takes an update that changes nothing, and keeps everything', async ({ stored, write }) => {
      const before = await stored();
      deepStrictEqual(await write({}, before), { settings: before.settings, facts: before.facts, secrets: {}, unset: [], pending: [] });
    });

    add('may be without its secrets while they are to come, and is complete when they have come, whatever their order', async (subject) => {
      const { write, issuesOf } = subject;
      const necessary = secretNames.filter((name) => !kind.fields[name]!.optional);
      const settings = Object.fromEntries(Object.entries(required).filter(([name]) => !secretNames.includes(name)));
      const first = await write(settings, undefined, true);
      deepStrictEqual(first.secrets, {});
      for (const name of necessary) ok(first.pending.includes(name), `${name} is not pending`);
      // What must be there besides them is what the whole example must have, too.
      if (first.pending.length > 0) {
        const missing = (await issuesOf(settings)).map(({ path }) => path[0]);
        for (const name of necessary) ok(missing.includes(name), `${name} may be missing`);
      }
      // What a fact tells about a secret is not told before there is one.
      for (const fact of Object.values(first.facts))
        ok((fact as { keyMatches?: unknown } | null)?.keyMatches !== false, 'a fact judges a secret that is to come');
      for (const order of [first.pending, first.pending.toReversed()]) {
        let stored = storedAfter(first);
        // A change of something else leaves it as it is.
        deepStrictEqual((await write({}, stored)).pending, first.pending);
        for (const [index, name] of order.entries()) {
          const written = await write({ [name]: kind.fields[name]!.example }, stored);
          deepStrictEqual(written.pending, order.slice(index + 1).sort());
          stored = storedAfter(written, stored);
        }
        // Then its rules hold as for any other.
        for (const name of necessary) strictEqual((await issuesOf({ [name]: null }, stored)).length, 1);
        const whole = await write({ ...settings, ...Object.fromEntries(order.map((name) => [name, kind.fields[name]!.example])) });
        deepStrictEqual(stored, storedAfter(whole));
      }
    });
  }

  add('refuses a field that it does not have, without repeating its name or value', async ({ errorOf, stored }) => {
    for (const before of [undefined, await stored()]) {
      const error = await errorOf({ ...example, [CANARY]: CANARY }, before);
      if (!before) {
        strictEqual(error.issues.length, 1);
        deepStrictEqual(error.issues[0]!.path, []);
        match(error.issues[0]!.message, /has a field that/);
      }
      ok(!error.message.includes(CANARY), 'the message repeats what was sent');
    }
  });

  add('derives only facts that it declares', async ({ write }) => {
    const declared = [...Object.keys(kind.facts ?? {}), ...Object.keys(kind.internalFacts ?? {})];
    for (const name of Object.keys((await write(example)).facts)) ok(declared.includes(name), `${name} is not declared`);
  });

  if (fields.length > 0) {
    add('lists every issue at once', async ({ issuesOf }) => {
      const data = Object.fromEntries(fields.map(([name, field]) => [name, field.invalidExample]));
      deepStrictEqual(
        (await issuesOf(data)).map(({ path }) => path[0]),
        Object.keys(data),
      );
    });
  }

  for (const [name, field] of fields) {
    add(`.${name} describes itself, as plain data`, async () => {
      match(field.description, /^[A-Z`].*[.?]$/s);
      deepStrictEqual(structuredClone(field), field);
    });

    add(`.${name} refuses its invalid example, on create and on update`, async ({ issuesOf, stored }) => {
      for (const issues of [
        await issuesOf({ ...example, [name]: field.invalidExample }),
        await issuesOf({ ...untouched, [name]: field.invalidExample }, await stored()),
      ]) {
        strictEqual(issues.length, 1);
        strictEqual(issues[0]!.path[0], name);
      }
    });

    add(`.${name} never repeats a value that it refuses, nor a part of it`, async ({ errorOf, stored }) => {
      const before = await stored();
      const refused = [
        ...[{ [CANARY]: CANARY }, [[CANARY]], [{ [CANARY]: CANARY }]],
        ...(field.type === 'String' ? [`${CANARY}\ud800`, CANARY.repeat(10_000)] : [CANARY]),
      ];
      for (const value of refused) {
        for (const error of [await errorOf({ ...example, [name]: value }), await errorOf({ ...untouched, [name]: value }, before)]) {
          strictEqual(error.issues[0]?.path[0], name);
          ok(!`${error.stack} ${JSON.stringify(error)} ${error.cause}`.includes('canary'), 'the error repeats what was sent');
        }
      }
    });

    if (field.type === 'String') {
      add(`.${name} refuses a text that is longer than its longest, or shorter than its shortest`, async ({ issuesOf }) => {
        const { minLength = 1, maxLength } = field;
        const long = (field.example ?? '').padEnd(maxLength + 1, 'a');
        deepStrictEqual(await issuesOf({ ...example, [name]: long }), [
          { path: [name], message: `must be at most ${maxLength} characters` },
        ]);
        if (minLength === 0) return;
        const message = minLength === 1 ? 'must not be empty' : `must be at least ${minLength} characters`;
        deepStrictEqual(await issuesOf({ ...example, [name]: (field.example ?? '').slice(0, minLength - 1) }), [{ path: [name], message }]);
      });
    }

    if (field.type === 'Choice') {
      add(`.${name} has values in upper case, and takes nothing else`, async ({ issuesOf }) => {
        const values = field.only ?? Object.keys(field.choices.values);
        // RFC 8037 has the one exception.
        for (const value of values) if (value !== 'EdDSA') strictEqual(value, value.toUpperCase());
        ok(values.includes(field.example as string), 'the example is none of the values');
        deepStrictEqual(await issuesOf({ ...example, [name]: values[0]?.toLowerCase() }), [
          { path: [name], message: `must be one of ${values.join(', ')}` },
        ]);
      });
    }

    if (field.type === 'StringList') {
      add(`.${name} takes an empty list, and refuses too many items, and points at the bad item`, async ({ issuesOf, stored, write }) => {
        const item = (field.example as readonly string[])[0] ?? '';
        deepStrictEqual((await write({ ...untouched, [name]: [] }, await stored())).settings[name], []);
        await write({ ...example, [name]: Array(field.maxItems).fill(item) });
        deepStrictEqual(await issuesOf({ ...example, [name]: Array(field.maxItems + 1).fill(item) }), [
          { path: [name], message: `must have at most ${field.maxItems} items` },
        ]);
        deepStrictEqual(await issuesOf({ ...example, [name]: [item, 'a'.repeat(field.maxLength + 1)] }), [
          { path: [name, 1], message: `must be at most ${field.maxLength} characters` },
        ]);
      });
    }

    if (field.optional) {
      if (field.clearable === false) continue;
      // A rule between fields may refuse it, such as that one of two fields is required: that is no matter of the field.
      add(`.${name} can be cleared with null as far as its own rules go, which leaves the rest`, async ({ stored, keyFiles }) => {
        const before = await stored();
        const written = await subjectOf({ ...judged, check: () => [] }, keyFiles).write({ ...untouched, [name]: null }, before);
        ok(!(name in written.settings), `${name} is still set`);
        deepStrictEqual(written.unset, field.secret ? [name] : []);
        deepStrictEqual(
          Object.keys(written.settings),
          Object.keys(before.settings).filter((other) => other !== name),
        );
      });
    } else {
      add(`.${name} is required on create, and cannot be cleared`, async ({ issuesOf, stored }) => {
        const { [name]: _, ...without } = example;
        deepStrictEqual(await issuesOf(without), [{ path: [name], message: 'is required' }]);
        deepStrictEqual(await issuesOf({ ...example, [name]: null }), [{ path: [name], message: 'is required' }]);
        const message = kind.storedAs ? 'is required' : 'cannot be cleared';
        deepStrictEqual(await issuesOf({ ...untouched, [name]: null }, await stored()), [{ path: [name], message }]);
      });
    }
  }
  return checks;
}

/** A kind, and what can be done to it. Data hold plain secrets, which are wrapped on the way. */
interface Subject {
  readonly keyFiles: KeyFiles;
  write(data: Data, stored?: StoredParts, isPending?: boolean): Promise<PreparedWrite>;
  /** A stored credential of the kind, made from its examples. */
  stored(): Promise<StoredParts>;
  errorOf(data: Data, stored?: StoredParts): Promise<ValidationError>;
  issuesOf(data: Data, stored?: StoredParts): Promise<readonly Issue[]>;
}

function subjectOf(kind: CredentialKind, keyFiles: KeyFiles): Subject {
  const write = (data: Data, stored?: StoredParts, isPending = false) =>
    prepareWrite(kind, wrapped(kind, data), keyFiles, stored, isPending);
  const errorOf = async (data: Data, stored?: StoredParts) => {
    const error = await write(data, stored).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error === undefined || error instanceof ValidationError) {
      ok(error, `${kind.kind} takes what it should refuse, in ${Object.keys(data).join(', ')}`);
      return error;
    }
    throw error;
  };
  return {
    keyFiles,
    write,
    errorOf,
    stored: async () => storedAfter(await write(exampleOf(Object.entries(kind.fields)))),
    issuesOf: async (data, stored) => (await errorOf(data, stored)).issues,
  };
}

function exampleOf(fields: readonly (readonly [name: string, field: KindField])[]): Record<string, unknown> {
  return Object.fromEntries(fields.map(([name, field]) => [name, field.example]));
}

function wrapped({ fields }: CredentialKind, data: Data): Data {
  const wrap = ([name, value]: [string, unknown]) => [
    name,
    fields[name]?.secret && typeof value === 'string' ? new Redacted(value) : value,
  ];
  return Object.fromEntries(Object.entries(data).map(wrap));
}

/** Whether a secret is the example that was sent. The example is no secret. */
function isExample(secret: Redacted, example: unknown): boolean {
  return secret.expose() === example;
}

/** What would be stored after this write. */
function storedAfter(write: PreparedWrite, before?: StoredParts): StoredParts {
  const set = Object.keys(write.secrets).map((name) => [name, true]);
  const unset = write.unset.map((name) => [name, false]);
  const isSet = { ...before?.isSet, ...Object.fromEntries([...set, ...unset]) };
  return { settings: write.settings, facts: write.facts, isSet, pending: write.pending };
}
