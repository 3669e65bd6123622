import { randomBytes } from 'node:crypto';
import type { Caller, Json, TestGateway } from '../harness.ts';
import { run } from '../operations.ts';

export const integration = { name: 'hosting' };
export const account = { inIntegration: { integration, externalId: 'account-1' } };
export const contactTypes = ['REGULAR', 'BILLING', 'ADMINISTRATOR', 'TECHNICAL'] as const;

/** A secret as Zendesk makes them. */
export const newSharedSecret = () => randomBytes(48).toString('base64url');

export interface Account {
  readonly caller: Caller;
  /** The global id of the end user. */
  readonly endUser: string;
  readonly sharedSecret: string;
}

/** All that a test asks of a link. */
export const linkFields = `
  form { action method fields { name value } } expiresAt jti links { href rel }
  claims { iat jti email name externalId phone organization locale tags userFields { name text number flag } }`;

/** An organization with an end user of four contacts, these verified, and a connection that signs for acme.zendesk.com. */
export async function openAccount(test: TestGateway, verified: readonly string[] = ['BILLING', 'TECHNICAL']): Promise<Account> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  const contacts = contactTypes.map((type) => ({ type, name: `The ${type} one`, email: mailOf(type), phone: '+1 (210) 555-0100' }));
  const { id: endUser } = await test.create(caller, 'EndUser', {
    integration,
    externalId: 'account-1',
    displayName: 'Account One',
    contacts,
  });
  for (const type of verified) await verify(test, caller, type);
  const sharedSecret = newSharedSecret();
  await addConnection(test, caller, { data: { jwt: { algorithm: 'HS256', secret: sharedSecret } } });
  return { caller, endUser, sharedSecret };
}

export const mailOf = (type: string) => `${type.toLowerCase()}@example.com`;

export function verify(test: TestGateway, caller: Caller, contactType: string, verified = true, endUser: object = account): Promise<Json> {
  return run(test, caller, 'setEmailVerified', { endUser, contactType, email: mailOf(contactType), verified });
}

/** What a credential needs to sign for a host. */
export const maySignFor = (host: string) => ({ allowedDomains: [host], allowedPurposes: ['SSO_SIGNING'] });

/** A connection that binds one new credential, which may sign for its host; its name is `zendesk` unless told. */
export async function addConnection(
  test: TestGateway,
  caller: Caller,
  {
    data,
    enabled,
    expiresAt,
    allowedDomain = 'acme.zendesk.com',
    allowed = maySignFor(allowedDomain?.toLowerCase() ?? 'acme.zendesk.com'),
    ...rest
  }: { data: object; enabled?: boolean; expiresAt?: string; allowedDomain?: string | null; allowed?: object; [other: string]: unknown },
): Promise<string> {
  const actionCredentials = [{ credential: { create: { name: 'shared secret', data, enabled, expiresAt, ...allowed } } }];
  const input = { integration, name: 'zendesk', allowedDomain, actionCredentials, ...rest };
  return (await test.create(caller, 'Connection', input)).id;
}

/** Asks for a link, and gives the result: success or error. */
export function ask(test: TestGateway, caller: Caller, input: object = {}, fields = linkFields): Promise<Json> {
  return run(test, caller, 'createSSOLink', { endUser: account, contactType: 'BILLING', ...input }, fields);
}

/** Asks for a link that must be made. */
export async function link(test: TestGateway, caller: Caller, input: object = {}, fields = linkFields): Promise<Json> {
  const result = await ask(test, caller, input, fields);
  if (!result.ssoLink) throw new Error(`There is no link: ${JSON.stringify(result)}`);
  return result.ssoLink;
}

/** The token that a link's form posts. */
export function tokenOf({ form }: Json): string {
  return form.fields.find(({ name }: Json) => name === 'jwt').value;
}

/** A part of a token, 0 its header and 1 its claims, without a look at the signature. */
export function partOf(token: string, part: 0 | 1): Json {
  return JSON.parse(Buffer.from(token.split('.')[part]!, 'base64url').toString());
}
