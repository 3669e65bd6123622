/** What can be done with a noun. */
type Verb = 'get' | 'post' | 'patch' | 'delete' | 'reveal' | 'fingerprint' | 'verifyEmail';

/** What has to be known of a noun to decide who may do what with which of its objects. */
interface NounRow {
  /** What it is called in prose. */
  readonly label: string;
  /** What stands for its objects in scopes (`credentials.get`), and for their store among the organization's. */
  readonly plural: string;
  /** The name of its type, and in global ids, which must not change. Absent: it has no records, and so no type and no ids. */
  readonly typeName?: string;
  /** The verbs that wildcards cover. Those that none covers are in `namedVerbs`. */
  readonly verbs: readonly Verb[];
  /** The most that a viewer can be allowed who is limited to one integration, or to one end user of it. */
  readonly confinedVerbs: { readonly integration: readonly Verb[]; readonly endUser: readonly Verb[] };
  /**
   * The fields that hold the ids of its integration and its end user: for a viewer who is limited, only those objects exist whose fields are
   * equal to the limit. Without a field for the end user, an integration's end users share them. Null: there are none for such a viewer.
   */
  readonly confinedBy: { readonly integration: string; readonly endUser?: string } | null;
}

const crud = ['get', 'post', 'patch', 'delete'] as const;

/** The nouns, in the order in which their scopes are listed. */
export const nounTable = {
  integration: {
    label: 'integration',
    plural: 'integrations',
    typeName: 'Integration',
    verbs: crud,
    confinedVerbs: { integration: ['get', 'patch'], endUser: ['get'] },
    confinedBy: { integration: 'id' },
  },
  connector: {
    label: 'connector',
    plural: 'connectors',
    typeName: 'Connector',
    verbs: crud,
    confinedVerbs: { integration: crud, endUser: ['get'] },
    confinedBy: { integration: 'integrationId' },
  },
  endUser: {
    label: 'end user',
    plural: 'endUsers',
    typeName: 'EndUser',
    verbs: crud,
    confinedVerbs: { integration: [...crud, 'verifyEmail'], endUser: ['get'] },
    confinedBy: { integration: 'integrationId', endUser: 'id' },
  },
  connection: {
    label: 'connection',
    plural: 'connections',
    typeName: 'Connection',
    verbs: crud,
    confinedVerbs: { integration: crud, endUser: crud },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
  },
  credential: {
    label: 'credential',
    plural: 'credentials',
    typeName: 'Credential',
    verbs: crud,
    confinedVerbs: { integration: [...crud, 'reveal', 'fingerprint'], endUser: crud },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
  },
  auditEntry: {
    label: 'audit entry',
    plural: 'audit',
    typeName: 'AuditEntry',
    verbs: ['get'],
    confinedVerbs: { integration: [], endUser: [] },
    confinedBy: null,
  },
  ssoLink: {
    label: 'SSO link',
    plural: 'ssoLinks',
    verbs: ['post'],
    confinedVerbs: { integration: ['post'], endUser: [] },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
  },
  apiKey: {
    label: 'API key',
    plural: 'apiKeys',
    typeName: 'APIKey',
    verbs: ['get', 'delete'],
    confinedVerbs: { integration: [], endUser: [] },
    confinedBy: null,
  },
  endUserToken: {
    label: 'end user’s token',
    plural: 'endUserTokens',
    verbs: ['post'],
    confinedVerbs: { integration: ['post'], endUser: [] },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
  },
} as const satisfies Readonly<Record<string, NounRow>>;

/** The verbs that no wildcard covers, and what they allow: what reveals, fingerprints, vouches or gives lasting access must be named. */
export const namedVerbs = {
  credential: {
    reveal: 'Read the plaintext of one secret, with a reason.',
    fingerprint: 'See fingerprints, which tell equal secrets from different ones.',
  },
  endUser: {
    verifyEmail: 'Vouch that a contact’s mail address belongs to the contact.',
  },
  apiKey: {
    post: 'Make and rotate API keys, which outlive the token that made them.',
  },
} as const satisfies { readonly [N in NounName]?: { readonly [V in Verb]?: string } };

type NounTable = typeof nounTable;

/** Every noun, those included that have no records. */
export type NounName = keyof NounTable;

/** The nouns that have records, and so a type, global ids and a store. */
export type Noun = { [N in NounName]: NounTable[N] extends { readonly typeName: string } ? N : never }[NounName];
export const nouns: readonly Noun[] = (Object.keys(nounTable) as NounName[]).filter((noun): noun is Noun => 'typeName' in nounTable[noun]);

/** What stands for a noun's objects in scopes, and for their store among the organization's. */
export type PluralOf<N extends NounName> = NounTable[N]['plural'];
