import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { expect } from 'vitest';
import { type Noun, nounTable } from '../src/access/nouns.ts';
import { createTokens } from '../src/domain/access-token.ts';
import type { GatewayContext } from '../src/domain/context.ts';
import { createEvents } from '../src/domain/events.ts';
import { createFindings } from '../src/domain/findings.ts';
import { createLiveEvents } from '../src/domain/live-events.ts';
import { defaultPolicy } from '../src/domain/policy.ts';
import { createRevocationList } from '../src/domain/revocation-list.ts';
import { createUses } from '../src/domain/uses.ts';
import { createGateway, type Gateway, type MasterKeySource } from '../src/gateway/index.ts';
import { createKeyFilesPool } from '../src/key-files/pool.ts';
import { EVENT_DAYS } from '../src/limits.ts';
import { Redacted } from '../src/redacted.ts';
import { parseId } from '../src/schema/kit/global-id.ts';
import { localKeyProvider } from '../src/secrets/key-provider.ts';
import { macOf, recordKey } from '../src/secrets/record-mac.ts';
import { open, type SealedPlace, seal } from '../src/secrets/seal.ts';
import { createOAuth } from '../src/services/oauth/index.ts';
import { createOutbound, defaultOutbound } from '../src/services/outbound/index.ts';
import { openDatabase } from '../src/store/database.ts';
import { healthFieldNames } from '../src/store/health.ts';
import { createStore, type Store } from '../src/store/index.ts';
import { type Caller, type Json, TestGateway } from './harness.ts';
import { kindRegistry } from './kinds.ts';

/** A data key's record, as it is stored. */
export interface StoredKey {
  readonly _id: string;
  readonly state: string;
  readonly wrapped?: string;
  readonly reservedSeals?: number;
}

/** The keys that seal an organization's secrets, oldest first. */
export function sealKeys(test: TestGateway, organization: string): Promise<StoredKey[]> {
  const keys = test.database.collection<StoredKey & { organizationId: string; purpose: string }>('dataKeys');
  return keys.find({ organizationId: organization, purpose: 'seal' }).sort({ createdAt: 1, _id: 1 }).toArray();
}

export async function stateOf(test: TestGateway, organization: string): Promise<string[]> {
  return (await sealKeys(test, organization)).map(({ state }) => state);
}

/** How many secrets lie under each key, by its id. */
export async function secretsUnder(test: TestGateway, organization: string): Promise<Record<string, number>> {
  const secrets = await test.database.collection('secrets').find({ organizationId: organization }).toArray();
  const counts: Record<string, number> = {};
  for (const { keyId } of secrets) counts[keyId] = (counts[keyId] ?? 0) + 1;
  return counts;
}

/** An organization with an integration, and as many string credentials as are wanted; answers their values by id. */
export async function newVault(test: TestGateway, credentials = 3): Promise<{ caller: Caller; values: Map<string, string> }> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  const values = new Map<string, string>();
  for (let index = 0; index < credentials; index++) await add(test, caller, values);
  return { caller, values };
}

/** Makes one more credential. */
export async function add(test: TestGateway, caller: Caller, values: Map<string, string>): Promise<string> {
  const value = `value-${randomBytes(9).toString('base64url')}`;
  const { id } = await test.create(caller, 'Credential', { integration: { name: 'crm' }, name: 'mine', data: { string: { value } } });
  values.set(id, value);
  return id;
}

/** Gives a credential another value, and what became of it. */
export async function change(test: TestGateway, caller: Caller, id: string, value: string): Promise<Json> {
  const { result } = await test.query(
    caller,
    `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) {
       __typename ... on MutationError { code } } }`,
    { input: { credential: id, data: { string: { value } } } },
  );
  return result;
}

/** The plaintext, or the error's code. */
export async function reveal(test: TestGateway, caller: Caller, id: string): Promise<string> {
  const { result } = await test.query(
    caller,
    `mutation ($id: ID!) { result: revealSecret(input: { credential: $id, field: "value", reason: "the test looks" }) {
       ... on RevealSecretSuccess { secret { plaintext } } ... on MutationError { code } } }`,
    { id },
  );
  return result.secret?.plaintext ?? result.code;
}

export async function expectAllOpen(test: TestGateway, caller: Caller, values: ReadonlyMap<string, string>): Promise<void> {
  for (const [id, value] of values) expect(await reveal(test, caller, id)).toBe(value);
}

/** A credential with one secret, as far as its secrets are concerned. */
export function ownerOf(id: string) {
  const facts = { fingerprint: '', sealedAt: new Date(0), generation: 'first' };
  return { id, integrationId: 'crm', endUserId: null, secrets: { value: facts } };
}

function placeOfFiller(organizationId: string, credentialId: string): SealedPlace {
  const { integrationId, endUserId, secrets } = ownerOf(credentialId);
  return { organizationId, integrationId, endUserId, credentialId, field: 'value', generation: secrets.value.generation };
}

/** Puts many secrets of credentials that do not exist beneath the gateway: to fill a database fast. */
export async function fill(test: TestGateway, organizationId: string, count: number): Promise<void> {
  const key = (await sealKeys(test, organizationId)).find(({ state }) => state === 'current')!;
  const bytes = await localKeyProvider([test.masterKey]).unwrap(key.wrapped!, { organizationId, keyId: key._id, purpose: 'seal' });
  const documents = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const place = placeOfFiller(organizationId, `filler-${index}`);
      const sealed = await seal({ keyId: key._id, bytes }, place, new Redacted(`filled ${index}`));
      const { credentialId, field } = place;
      return { _id: `filler-${index}-${organizationId}`, organizationId, credentialId, field, keyId: key._id, sealed };
    }),
  );
  await test.database.collection<{ _id: string }>('secrets').insertMany(documents);
}

/** Opens all that `fill` put there, under whichever key it is now. */
export async function expectFilledOpen(test: TestGateway, organizationId: string, count: number): Promise<void> {
  const provider = localKeyProvider([test.masterKey]);
  const keys = new Map<string, Uint8Array>();
  for (const { _id: keyId, wrapped } of await sealKeys(test, organizationId)) {
    if (wrapped) keys.set(keyId, await provider.unwrap(wrapped, { organizationId, keyId, purpose: 'seal' }));
  }
  const secrets = await test.database
    .collection('secrets')
    .find({ organizationId, credentialId: { $gte: 'filler-', $lt: 'filler.' } })
    .toArray();
  expect(secrets).toHaveLength(count);
  for (const { credentialId, keyId, sealed } of secrets) {
    const plain = await open({ keyId, bytes: keys.get(keyId)! }, placeOfFiller(organizationId, credentialId), sealed);
    expect(plain.expose()).toBe(`filled ${credentialId.split('-')[1]}`);
  }
}

/** Another copy of the gateway on the same database, with a clock and master keys of its own: the one that rotates. */
export async function openCopy(
  test: TestGateway,
  {
    now = () => new Date(),
    masterKeys = [test.masterKey],
    opensOldFormat = false,
  }: { now?: () => Date; masterKeys?: readonly MasterKeySource[]; opensOldFormat?: boolean } = {},
): Promise<Gateway> {
  return createGateway({
    database: { uri: test.uri, name: test.databaseName },
    masterKeys,
    tokens: { issuer: 'nobody', audience: 'nobody', organizationClaim: 'organization', key: { secret: randomBytes(32) } },
    logger: pino({ level: 'silent' }),
    graphiql: false,
    opensOldFormat,
    now,
  });
}

/** The layer below, to stop in the middle of a transaction. Close it after. */
export async function openStore(test: TestGateway): Promise<Store> {
  const database = await openDatabase({ uri: test.uri, name: test.databaseName });
  return createStore(database, localKeyProvider([test.masterKey]), () => new Date());
}

/** What functions of the gateway itself get, on a store. */
export function gatewayOn(stores: Store, now: () => Date): GatewayContext {
  const revocations = createRevocationList({ stores, now, elapsed: () => 0 });
  const outbound = createOutbound(defaultOutbound);
  const oauth = createOAuth(outbound, now);
  const findings = createFindings();
  const events = createEvents({ stores, now }, { days: EVENT_DAYS, isAutomatic: false });
  const gateway: GatewayContext = {
    stores,
    now,
    kinds: kindRegistry,
    keyFiles: createKeyFilesPool(),
    policy: defaultPolicy,
    revocations,
    outbound,
    oauth,
    findings,
    uses: createUses('each'),
    tokens: createTokens(() => gateway),
    events,
    live: createLiveEvents({ stores, events }),
  };
  return gateway;
}

/** A document with the MAC that the gateway would give it: for what no version writes any more. */
export async function signed(test: TestGateway, noun: Noun | 'eventHead', document: Json): Promise<Json> {
  return (await signer(test, noun, document.organizationId))(document);
}

/** Returns a function that does this for many documents. */
export async function signer(test: TestGateway, noun: Noun | 'eventHead', organizationId: string): Promise<(document: Json) => Json> {
  const keys = test.database.collection<StoredKey>('dataKeys');
  const key = (await keys.findOne({ organizationId, purpose: 'records' }))!;
  const place = { organizationId, keyId: key._id, purpose: 'records' };
  const bytes = await localKeyProvider([test.masterKey]).unwrap(key.wrapped!, place);
  return (document) => {
    const { mac: _, touches: _touches, bytes: _bytes, lastUsedAt: _lastUsedAt, ...covered } = document;
    for (const field of [...healthFieldNames, 'runsOutAt', 'noticeAt', 'isUnspread', 'refreshAt']) delete covered[field];
    return { ...document, mac: macOf(recordKey({ keyId: key._id, bytes }), noun, covered) };
  };
}

/** Rewrites documents round the gateway, each with a MAC as if the gateway had written it. */
export async function resign(test: TestGateway, noun: Noun, filter: object, change: (document: Json) => Json): Promise<void> {
  const documents = test.database.collection<Json>(nounTable[noun].plural);
  for (const document of await documents.find(filter).toArray()) {
    await documents.replaceOne({ _id: document._id }, await signed(test, noun, change(document)));
  }
}

/** A clock that can be set forward. */
export class Clock {
  offset = 0;
  readonly now = () => new Date(Date.now() + this.offset);
  /** Past the time that a retired key rests. */
  pastRest(): void {
    this.offset += 5 * 60_000 + 1;
  }
}

export { TestGateway };

/** Creates a credential whose settings do not fit its kind any more, as if the kind had been changed since. Returns its global id. */
export async function makeOutdated(test: TestGateway, caller: Caller, owned: object): Promise<string> {
  const data = { basicAuth: { username: 'ada', password: 'password' } };
  const { id } = await test.create(caller, 'Credential', { ...owned, name: 'outdated', data });
  await resign(test, 'credential', { _id: parseId(id)!.id }, (document) => ({
    ...document,
    settings: { ...document.settings, username: 7 },
  }));
  return id;
}
