import { randomBytes } from 'node:crypto';
import { type GraphQLObjectType, type GraphQLUnionType, getNamedType, isCompositeType } from 'graphql';
import { expect } from 'vitest';
import { createSchema } from '../src/schema/index.ts';
import type { Answer, Caller, Json, TestGateway } from './harness.ts';
import { kindRegistry } from './kinds.ts';

const schema = createSchema(kindRegistry);

/** What is asked of each error that a mutation can answer with. */
const errorFields: Readonly<Record<string, string>> = {
  ValidationError: 'issues { path message }',
  NotFoundError: 'path',
  InvalidIntegrationError: 'path',
  ConflictError: 'path currentVersion',
  InUseError: 'usageCount usages { noun node { id } name }',
  UnreadableSecretError: '',
  EmailNotVerifiedError: '',
  SSONotConfiguredError: 'missing',
};

const mutationNamed = (name: string) => schema.getMutationType()!.getFields()[name]!;

/** One mutation as a field, `result` unless told, whose input is a variable. */
function mutationField(name: string, fields: string, alias = 'result', variable = 'input'): string {
  const field = mutationNamed(name);
  const members = (getNamedType(field.type) as GraphQLUnionType).getTypes();
  const success = members.find((type) => type.name.endsWith('Success')) as GraphQLObjectType;
  const [payload] = Object.values(success.getFields());
  const type = getNamedType(payload!.type);
  // What is issued has no id: the API key or the webhook that it contains has.
  const issued = { IssuedAPIKey: 'apiKeyId', IssuedWebhook: 'webhookId' }[type.name];
  if (issued) fields = fields.replace(/^id\b/, `id: ${issued}`);
  const selection = type.name === 'Credential' ? `{ ... on CredentialBase { ${fields} } }` : isCompositeType(type) ? `{ ${fields} }` : '';
  const errors = members.map((each) => (errorFields[each.name] ? `... on ${each.name} { ${errorFields[each.name]} }` : ''));
  return `${alias}: ${name}(input: $${variable}) {
    __typename ... on ${success.name} { ${payload!.name} ${selection} } ... on MutationError { code message } ${errors.join(' ')}
  }`;
}

function inputType(name: string): string {
  return String(mutationNamed(name).args[0]!.type);
}

/** An operation of one mutation, whose result is `result`. */
export function operation(name: string, input: object, fields = 'id') {
  return { query: `mutation ($input: ${inputType(name)}) { ${mutationField(name, fields)} }`, variables: { input } };
}

/** Runs one mutation and gives the whole answer. */
export function send(test: TestGateway, caller: Caller, name: string, input: object, fields = 'id'): Promise<Answer> {
  const { query, variables } = operation(name, input, fields);
  return test.answer(caller, query, variables);
}

/** Runs one mutation and gives its result, success or error, with all that an error tells. */
export async function run(test: TestGateway, caller: Caller, name: string, input: object, fields = 'id'): Promise<Json> {
  const { data, text } = await send(test, caller, name, input, fields);
  if (!data?.result) throw new Error(`${name} was not run.\n${text}`);
  return data.result;
}

/** Runs several mutations in one operation: `[name, input, fields]` each. The results are in `data`, under r0, r1, … */
export function sendAll(test: TestGateway, caller: Caller, mutations: readonly (readonly [string, object, string?])[]): Promise<Answer> {
  const definitions = mutations.map(([name], index) => `$r${index}: ${inputType(name)}`);
  const fields = mutations.map(([name, , selection = 'id'], index) => mutationField(name, selection, `r${index}`, `r${index}`));
  const variables = Object.fromEntries(mutations.map(([, input], index) => [`r${index}`, input]));
  return test.answer(caller, `mutation (${definitions}) { ${fields.join('\n')} }`, variables);
}

/** A value that is found again wherever it leaks to. */
export function newCanary(): string {
  return `canary${randomBytes(12).toString('hex')}`;
}

/** Nothing that left the gateway, log lines since `logsBefore` included, holds the value in any of the spellings it may take. */
export function expectNoTrace(test: TestGateway, answer: Answer, canary: string, logsBefore: number): void {
  const everything = [answer.text, ...[...answer.headers].flat(), ...test.logs.slice(logsBefore)].join('\n');
  for (const spelling of [canary, Buffer.from(canary).toString('base64').replace(/=+$/, ''), Buffer.from(canary).toString('base64url')]) {
    expect(everything).not.toContain(spelling);
  }
}
