import { randomBytes } from 'node:crypto';
import { type GraphQLObjectType, type GraphQLUnionType, getNamedType, isCompositeType } from 'graphql';
import { expect } from 'vitest';
import { createSchema } from '../../src/schema/index.ts';
import type { Answer, Caller, Json, TestGateway } from '../harness.ts';
import { kindRegistry } from '../kinds.ts';

const schema = createSchema(kindRegistry);

/** What is asked of each error that a mutation can answer with. */
const errorFields: Readonly<Record<string, string>> = {
  ValidationError: 'issues { path message }',
  NotFoundError: 'path',
  InvalidIntegrationError: 'path',
  ConflictError: 'path currentVersion',
  InUseError: 'usageCount usages { noun id name }',
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

/** What is written of requests that are refused, too. */
const kept = /^(audit|rateLimit)/;

/** Everything that the database holds, of all organizations, to see that nothing changed. */
export async function contents(test: TestGateway): Promise<Record<string, Json[]>> {
  const names = (await test.database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  const collections = names.filter((name) => !kept.test(name)).sort();
  const read = async (name: string) => {
    const documents = await test.database.collection(name).find({}).sort({ _id: 1 }).toArray();
    // How many seals a key may still make is reserved ahead, whatever becomes of them.
    return [name, documents.map(({ reservedSeals: _, ...document }) => document)] as const;
  };
  return Object.fromEntries(await Promise.all(collections.map(read)));
}

/** How many documents each collection holds. */
export async function counts(test: TestGateway): Promise<Record<string, number>> {
  return Object.fromEntries(Object.entries(await contents(test)).map(([name, documents]) => [name, documents.length]));
}

/** What the database holds that names something which is not there, in words. */
export async function danglingReferences(test: TestGateway): Promise<string[]> {
  const { integrations, connectors, endUsers, connections, credentials, secrets, slots } = (await contents(test)) as Record<string, Json[]>;
  const ids = (documents: Json[] | undefined) => new Set((documents ?? []).map(({ _id }) => _id));
  const [integration, connector, endUser, credential] = [integrations, connectors, endUsers, credentials].map(ids);
  const found: string[] = [];
  const see = (noun: string, documents: Json[] | undefined, field: string, known: Set<string> | undefined) => {
    for (const document of documents ?? []) {
      for (const id of [document[field]].flat()) if (id != null && !known?.has(id)) found.push(`${noun} ${document._id}: ${field} ${id}`);
    }
  };
  for (const [noun, documents] of Object.entries({ connectors, endUsers, connections, credentials })) {
    see(noun, documents, 'integrationId', integration);
  }
  see('connections', connections, 'connectorId', connector);
  see('connections', connections, 'endUserId', endUser);
  see('connections', connections, 'credentialIds', credential);
  see('connectors', connectors, 'credentialIds', credential);
  see('credentials', credentials, 'endUserId', endUser);
  see('secrets', secrets, 'credentialId', credential);
  see('slots', slots, 'parentId', new Set([...integration!, ...connector!]));
  for (const { _id, actionCredentials, triggerCredentials, credentialIds } of connections ?? []) {
    for (const { credentialId } of [...actionCredentials, ...triggerCredentials]) {
      if (!credentialIds.includes(credentialId)) found.push(`connections ${_id}: binds ${credentialId} and does not say so`);
    }
  }
  return found;
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

/** Two integrations with a connector, end users and credentials each way round that references can be wrong. */
export async function seedWorld(test: TestGateway) {
  const caller = { organization: test.newOrganization() };
  const id = async (noun: Parameters<TestGateway['create']>[1], input: object): Promise<string> =>
    (await test.create(caller, noun, input)).id;
  const crm = { name: 'crm' };
  const shop = { name: 'shop' };
  const basicAuth = { basicAuth: { username: 'ada', password: 'pa55word' } };
  return {
    caller,
    crm: await id('Integration', crm),
    shop: await id('Integration', shop),
    connector: await id('Connector', { integration: crm, name: 'zendesk', baseUrl: 'https://api.example.com' }),
    otherConnector: await id('Connector', { integration: shop, name: 'zendesk', baseUrl: 'https://api.example.com' }),
    ada: await id('EndUser', { integration: crm, externalId: 'ada' }),
    bob: await id('EndUser', { integration: crm, externalId: 'bob' }),
    otherEndUser: await id('EndUser', { integration: shop, externalId: 'ada' }),
    credential: await id('Credential', { integration: crm, name: 'shared', data: basicAuth }),
    adasCredential: await id('Credential', {
      integration: crm,
      endUser: { inIntegration: { integration: crm, externalId: 'ada' } },
      name: 'ada’s',
      data: basicAuth,
    }),
    otherCredential: await id('Credential', { integration: shop, name: 'shop’s', data: basicAuth }),
    connection: await id('Connection', { integration: crm, name: 'plain' }),
  };
}
export type World = Awaited<ReturnType<typeof seedWorld>>;
