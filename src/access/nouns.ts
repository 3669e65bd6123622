/** An action on the objects of a noun. */
type Verb = 'get' | 'post' | 'patch' | 'delete' | 'reveal' | 'fingerprint' | 'use' | 'verifyEmail' | 'check';

/** The properties of a noun that decide who may do what with which of its objects. */
interface NounRow {
  /** The name of the noun in texts. */
  readonly label: string;
  /** The plural. It is used in scopes (`credentials.get`), and as the name of the noun's store within `OrganizationStore`. */
  readonly plural: string;
  /** The name of its GraphQL type. It is also used in global ids, so it must not change. Absent if the noun has no records and no ids. */
  readonly typeName?: string;
  /** The verbs that wildcards cover. `namedVerbs` lists the others. */
  readonly verbs: readonly Verb[];
  /** The verbs that a viewer can have who is limited to one integration, or to one end user of it. */
  readonly confinedVerbs: { readonly integration: readonly Verb[]; readonly endUser: readonly Verb[] };
  /**
   * The fields that hold the ids of its integration and its end user. A limited viewer sees only objects whose fields equal the limit.
   * If there is no field for the end user, all end users of an integration see them. Null if a limited viewer sees none.
   */
  readonly confinedBy: { readonly integration: string; readonly endUser?: string } | null;
  /** The setting that limits how many an organization can store. Null if callers cannot fill the database with them. */
  readonly storedLimit: string | null;
}

const crud = ['get', 'post', 'patch', 'delete'] as const;
/** What can also be checked by asking the service. */
const checked = [...crud, 'check'] as const;

/** The nouns, in the order in which their scopes are listed. */
export const nounTable = {
  integration: {
    label: 'integration',
    plural: 'integrations',
    typeName: 'Integration',
    verbs: crud,
    confinedVerbs: { integration: ['get', 'patch'], endUser: ['get'] },
    confinedBy: { integration: 'id' },
    storedLimit: 'MAX_INTEGRATIONS',
  },
  connector: {
    label: 'connector',
    plural: 'connectors',
    typeName: 'Connector',
    verbs: crud,
    confinedVerbs: { integration: crud, endUser: ['get'] },
    confinedBy: { integration: 'integrationId' },
    storedLimit: 'MAX_CONNECTORS',
  },
  endUser: {
    label: 'end user',
    plural: 'endUsers',
    typeName: 'EndUser',
    verbs: crud,
    confinedVerbs: { integration: [...crud, 'verifyEmail'], endUser: ['get'] },
    confinedBy: { integration: 'integrationId', endUser: 'id' },
    storedLimit: 'MAX_END_USERS',
  },
  connection: {
    label: 'connection',
    plural: 'connections',
    typeName: 'Connection',
    verbs: checked,
    confinedVerbs: { integration: [...checked, 'use'], endUser: checked },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
    storedLimit: 'MAX_CONNECTIONS',
  },
  credential: {
    label: 'credential',
    plural: 'credentials',
    typeName: 'Credential',
    verbs: checked,
    confinedVerbs: { integration: [...checked, 'reveal', 'fingerprint'], endUser: checked },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
    storedLimit: 'MAX_CREDENTIALS',
  },
  auditEntry: {
    label: 'audit entry',
    plural: 'audit',
    typeName: 'AuditEntry',
    verbs: ['get'],
    confinedVerbs: { integration: [], endUser: [] },
    confinedBy: null,
    // Each mutation adds one, and the rate limits bound them. A log that refuses entries would refuse mutations.
    storedLimit: null,
  },
  event: {
    label: 'event',
    plural: 'events',
    typeName: 'Event',
    verbs: ['get'],
    confinedVerbs: { integration: ['get'], endUser: ['get'] },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
    // Each change adds one, and the rate limits bound them. They are deleted when they are old.
    storedLimit: null,
  },
  webhook: {
    label: 'webhook',
    plural: 'webhooks',
    typeName: 'Webhook',
    verbs: ['get', 'delete'],
    confinedVerbs: { integration: crud, endUser: [] },
    confinedBy: { integration: 'integrationId' },
    storedLimit: 'MAX_WEBHOOKS',
  },
  webhookDelivery: {
    label: 'delivery',
    plural: 'webhookDeliveries',
    typeName: 'WebhookDelivery',
    verbs: ['get'],
    confinedVerbs: { integration: ['get'], endUser: [] },
    confinedBy: { integration: 'integrationId' },
    // The number of webhooks and of attempts at once bounds them. They are deleted when they are old.
    storedLimit: null,
  },
  ssoLink: {
    label: 'SSO link',
    plural: 'ssoLinks',
    verbs: ['post'],
    confinedVerbs: { integration: ['post'], endUser: [] },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
    // They are deleted when they expire, after minutes.
    storedLimit: null,
  },
  apiKey: {
    label: 'API key',
    plural: 'apiKeys',
    typeName: 'APIKey',
    verbs: ['get', 'delete'],
    confinedVerbs: { integration: [], endUser: [] },
    confinedBy: null,
    storedLimit: 'MAX_API_KEYS',
  },
  endUserToken: {
    label: 'end user’s token',
    plural: 'endUserTokens',
    verbs: ['post', 'delete'],
    confinedVerbs: { integration: ['post', 'delete'], endUser: [] },
    confinedBy: { integration: 'integrationId', endUser: 'endUserId' },
    // They are not stored.
    storedLimit: null,
  },
  token: {
    label: 'token of the issuer',
    plural: 'tokens',
    verbs: ['delete'],
    confinedVerbs: { integration: [], endUser: [] },
    confinedBy: null,
    // They are not stored.
    storedLimit: null,
  },
} as const satisfies Readonly<Record<string, NounRow>>;

/** The verbs that no wildcard covers, because they reveal, use, fingerprint, confirm or give lasting access; and what they allow. */
export const namedVerbs = {
  credential: {
    reveal: 'Read the plaintext of one secret, with a reason.',
    fingerprint: 'Read fingerprints, which show whether secrets are equal.',
  },
  connection: {
    use: 'Send requests over a connection with its credentials, or have them authorized.',
  },
  endUser: {
    verifyEmail: 'Confirm that an email address belongs to the contact.',
  },
  webhook: {
    post: 'Create webhooks, which get events after the token that created them has expired.',
    patch: 'Change, test and resume webhooks, and get new secrets: it decides where events are sent.',
  },
  apiKey: {
    post: 'Create and rotate API keys, which stay valid after the token that created them has expired.',
  },
} as const satisfies { readonly [N in NounName]?: { readonly [V in Verb]?: string } };

type NounTable = typeof nounTable;

/** Every noun, including those without records. */
export type NounName = keyof NounTable;

/** A setting that limits how many records of a noun an organization can store. */
export type StoredLimit = NonNullable<NounTable[NounName]['storedLimit']>;

/** The nouns that have records, and therefore a type, global ids and a store. */
export type Noun = { [N in NounName]: NounTable[N] extends { readonly typeName: string } ? N : never }[NounName];
export const nouns: readonly Noun[] = (Object.keys(nounTable) as NounName[]).filter((noun): noun is Noun => 'typeName' in nounTable[noun]);

/** The plural of a noun, as used in scopes and as the name of its store. */
export type PluralOf<N extends NounName> = NounTable[N]['plural'];
