import { type NounName, nounTable } from '../access/nouns.ts';
import type { Confinement } from '../access/viewer.ts';
import { UnreadableSecretError } from '../errors.ts';
import { type Extent, refuseBeyond } from './extent.ts';
import type { Members, OrganizationStore } from './index.ts';
import type { Builders } from './lazily.ts';
import type { SecretFacts } from './secret.ts';

/** The parts of a confined store: the limit, and the organization's store without the limit. */
export interface Limited {
  readonly organizationId: string;
  readonly confinement: Confinement;
  readonly members: Members;
  readonly whole: OrganizationStore;
}

/**
 * How each member of an organization's store is confined for a viewer who is limited to one integration, or to one end user of it. Such a
 * viewer can find, change, delete and create nothing else. A new member without a row here does not compile.
 */
export const confinedMembers: Builders<Limited, OrganizationStore> = {
  // Confined by the fields in `access/nouns.ts`. Records of nouns without such fields can neither be found nor created.
  integrations: (limited) => limited.members.integrations(extentOf('integration', limited)),
  connectors: (limited) => limited.members.connectors(extentOf('connector', limited)),
  endUsers: (limited) => limited.members.endUsers(extentOf('endUser', limited)),
  connections: (limited) => limited.members.connections(extentOf('connection', limited)),
  credentials: (limited) => limited.members.credentials(extentOf('credential', limited)),
  apiKeys: (limited) => limited.members.apiKeys(extentOf('apiKey', limited)),
  // The secrets of webhooks are reached through them only.
  webhooks: (limited) => limited.members.webhooks(extentOf('webhook', limited), { secrets: limited.whole.secrets }),
  webhookDeliveries: (limited) => limited.members.webhookDeliveries(extentOf('webhookDelivery', limited)),
  // Not confined: it needs the id of a webhook that the viewer has found. Only the gateway itself delivers.
  webhookQueue({ whole: { webhookQueue } }) {
    const { begin, setActive, restart, rewind, add } = webhookQueue;
    return { ...refusing(webhookQueue), begin, setActive, restart, rewind, add };
  },
  ssoLinks: (limited) => limited.members.ssoLinks(extentOf('ssoLink', limited)),
  // Each leads to a connection.
  authorizations: (limited) => limited.members.authorizations(extentOf('connection', limited), { keys: limited.whole.keys }),
  // Only the gateway itself gives them positions, and deletes them.
  events(limited) {
    const own = limited.members.events(extentOf('event', limited));
    const { number, range, positionAt, trim, removeAll } = own;
    return { ...own, ...refusing({ number, range, positionAt, trim, removeAll }) };
  },
  // Only the tokens of end users are revoked within a limit.
  revocations: (limited) => limited.members.revocations(extentOf('endUserToken', limited)),
  endUserTokens: (limited) => limited.members.endUserTokens(extentOf('endUserToken', limited), { keys: limited.whole.keys }),

  // A mutation writes an audit entry. The log cannot be read.
  audit: ({ whole: { audit } }) => ({ ...refusing(audit), insert: audit.insert, insertAll: audit.insertAll }),

  // Not confined: each record needs the hash of a viewer and its key. Only the gateway itself deletes them.
  idempotency({ whole: { idempotency } }) {
    const { removeExpired, removeAll } = idempotency;
    return { ...idempotency, ...refusing({ removeExpired, removeAll }) };
  },

  // Only the gateway itself refreshes tokens.
  leases: ({ whole }) => refusing(whole.leases),

  // Confined by the credentials that they belong to. Only the gateway itself moves secrets to another key.
  secrets: (limited, own) => confinedSecrets(limited, own),

  // A mutation checks whether the organization exists, and the first one creates its record.
  organization: ({ whole: { organization } }) => ({
    ...refusing(organization),
    state: organization.state,
    begin: organization.begin,
    ensure: organization.ensure,
  }),

  // The parts that seal, sign and open have their own access to the keys. Otherwise only the gateway itself uses keys.
  keys: ({ whole }) => refusing(whole.keys),

  // Not confined: slots contain no data, are in no list, and need the id of a parent that the viewer has found.
  slots: ({ whole }) => whole.slots,

  // Not confined: it refers to no record.
  transaction: ({ whole }) => whole.transaction,
};

function extentOf(noun: NounName, { organizationId, confinement: { integrationId, endUserId } }: Limited): Extent {
  const { confinedBy } = nounTable[noun];
  if (confinedBy === null) return { organizationId, confines: 'nothing' };
  const confines = { [confinedBy.integration]: integrationId };
  if (endUserId !== undefined && 'endUser' in confinedBy) confines[confinedBy.endUser] = endUserId;
  return { organizationId, confines };
}

/**
 * Returns the secrets of the credentials within the viewer's limit. Each function reads the credentials again, within the limit: which record
 * a caller passes does not matter.
 */
function confinedSecrets({ whole, ...limited }: Limited, own: OrganizationStore): OrganizationStore['secrets'] {
  const { secrets } = whole;
  const extent = extentOf('credential', { whole, ...limited });
  /** Marks what an end user writes: it must not be sent with a client that is not for end users. */
  const written = (facts: Record<string, SecretFacts>): Record<string, SecretFacts> =>
    limited.confinement.endUserId === undefined
      ? facts
      : Object.fromEntries(Object.entries(facts).map(([field, each]) => [field, { ...each, byEndUser: true }]));
  const missing = () => new UnreadableSecretError('its ciphertext is missing');
  const requireOwn = async (id: string) => {
    const credential = await own.credentials.one({ id });
    if (!credential) throw missing();
    return credential;
  };
  return {
    ...refusing(secrets),
    async put(owner, ...rest) {
      refuseBeyond(extent, owner);
      // A new credential is inserted after its secrets.
      const isNew = (await whole.credentials.ids({ id: owner.id })).length === 0;
      if (!isNew) await requireOwn(owner.id);
      return written(await secrets.put(owner, ...rest));
    },
    async putAll(all, ...rest) {
      for (const { owner } of all) refuseBeyond(extent, owner);
      const existing = await whole.credentials.ids({ id: all.map(({ owner }) => owner.id) });
      for (const id of existing) await requireOwn(id);
      return (await secrets.putAll(all, ...rest)).map(written);
    },
    async unset(credentialId, fields) {
      await requireOwn(credentialId);
      return secrets.unset(credentialId, fields);
    },
    async removeAll(credentialIds) {
      return secrets.removeAll(await own.credentials.ids({ id: credentialIds }));
    },
    async open({ id }, field) {
      return secrets.open(await requireOwn(id), field);
    },
    async sign({ id }, ...rest) {
      return secrets.sign(await requireOwn(id), ...rest);
    },
    async readableFields(owners) {
      return secrets.readableFields(await own.credentials.byIds(owners.map(({ id }) => id)));
    },
  };
}

/** Returns a member that a limited viewer does not need: each of its functions throws. */
function refusing<Member extends object>(member: Member): Member {
  const refuse = async () => {
    throw new Error('This part of the store is not available to a limited viewer.');
  };
  return Object.fromEntries(Object.keys(member).map((name) => [name, refuse])) as Member;
}
