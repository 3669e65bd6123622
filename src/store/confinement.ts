import { type NounName, nounTable } from '../access/nouns.ts';
import type { Confinement } from '../access/viewer.ts';
import { UnreadableSecretError } from '../errors.ts';
import type { Extent } from './extent.ts';
import type { Members, OrganizationStore } from './index.ts';
import type { Builders } from './lazily.ts';

/** What a confined store is made of: the limit, and the organization's store as it is without. */
export interface Limited {
  readonly organizationId: string;
  readonly confinement: Confinement;
  readonly members: Members;
  readonly whole: OrganizationStore;
}

/**
 * How each member of an organization's store is confined for a viewer who is limited to one integration, or to one end user of it: nothing
 * else can be found, changed, deleted or made, whatever is asked for. A new member does not compile until it has a row.
 */
export const confinedMembers: Builders<Limited, OrganizationStore> = {
  // By the fields that `access/nouns.ts` names. Of nouns that it gives none, nothing can be found or made.
  integrations: (limited) => limited.members.integrations(extentOf('integration', limited)),
  connectors: (limited) => limited.members.connectors(extentOf('connector', limited)),
  endUsers: (limited) => limited.members.endUsers(extentOf('endUser', limited)),
  connections: (limited) => limited.members.connections(extentOf('connection', limited)),
  credentials: (limited) => limited.members.credentials(extentOf('credential', limited)),
  apiKeys: (limited) => limited.members.apiKeys(extentOf('apiKey', limited)),
  ssoLinks: (limited) => limited.members.ssoLinks(extentOf('ssoLink', limited)),
  endUserTokens: (limited) => limited.members.endUserTokens(extentOf('endUserToken', limited), { keys: limited.whole.keys }),

  // A mutation tells the log what it did. Nothing of it can be read.
  audit: ({ whole: { audit } }) => ({ ...refusing(audit), insert: audit.insert }),

  // By the credentials that they belong to. Moving secrets to another key is for the gateway itself.
  secrets: ({ whole }, own) => confinedSecrets(whole, own),

  // A mutation asks whether the organization is there, and records it when it is the first.
  organization: ({ whole: { organization } }) => ({
    ...refusing(organization),
    state: organization.state,
    ensure: organization.ensure,
  }),

  // What seals, signs and opens has the keys by itself; beyond that they are for the gateway itself.
  keys: ({ whole }) => refusing(whole.keys),

  // As they are: a slot says nothing and is in no list, and is named by the id of a parent that this viewer has found.
  slots: ({ whole }) => whole.slots,

  // As it is: it names no record.
  transaction: ({ whole }) => whole.transaction,
};

function extentOf(noun: NounName, { organizationId, confinement: { integrationId, endUserId } }: Limited): Extent {
  const { confinedBy } = nounTable[noun];
  if (confinedBy === null) return { organizationId, confines: 'nothing' };
  const confines = { [confinedBy.integration]: integrationId };
  if (endUserId !== undefined && 'endUser' in confinedBy) confines[confinedBy.endUser] = endUserId;
  return { organizationId, confines };
}

/** The secrets of the credentials that there are for the viewer. */
function confinedSecrets(whole: OrganizationStore, own: OrganizationStore): OrganizationStore['secrets'] {
  const { secrets } = whole;
  const ownOf = (credentialIds: readonly string[]) => own.credentials.ids({ id: credentialIds });
  const requireOwn = async (credentialId: string) => {
    if ((await ownOf([credentialId])).length === 0) throw new UnreadableSecretError('its ciphertext is missing');
  };
  return {
    ...refusing(secrets),
    async put(credentialId, ...rest) {
      // A new credential is inserted after its secrets.
      const isNew = (await whole.credentials.ids({ id: credentialId })).length === 0;
      if (!isNew) await requireOwn(credentialId);
      return secrets.put(credentialId, ...rest);
    },
    async unset(credentialId, fields) {
      await requireOwn(credentialId);
      return secrets.unset(credentialId, fields);
    },
    async removeAll(credentialIds) {
      return secrets.removeAll(await ownOf(credentialIds));
    },
    async open(credentialId, field) {
      await requireOwn(credentialId);
      return secrets.open(credentialId, field);
    },
    async sign(credentialId, ...rest) {
      await requireOwn(credentialId);
      return secrets.sign(credentialId, ...rest);
    },
    async readableFields(credentialIds) {
      return secrets.readableFields(await ownOf(credentialIds));
    },
  };
}

/** A member of which a viewer who is limited has no need: each of its functions throws. */
function refusing<Member extends object>(member: Member): Member {
  const refuse = async () => {
    throw new Error('This part of the store is not for a viewer who is limited.');
  };
  return Object.fromEntries(Object.keys(member).map((name) => [name, refuse])) as Member;
}
