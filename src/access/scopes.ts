/**
 * The scopes a token may carry, spelled as Losant spells them. A wildcard (`credentials.*`, `all.Organization`) covers the verbs of its
 * nouns; what reveals, fingerprints, vouches or gives lasting access is never covered by one and must be named.
 */
const verbs = ['get', 'post', 'patch', 'delete'] as const;
const verbsOf = {
  integrations: verbs,
  connectors: verbs,
  endUsers: verbs,
  connections: verbs,
  credentials: verbs,
  audit: ['get'],
  ssoLinks: ['post'],
  apiKeys: ['get', 'delete'],
  endUserTokens: ['post'],
} as const;
const named = {
  'credentials.reveal': 'Read the plaintext of one secret, with a reason.',
  'credentials.fingerprint': 'See fingerprints, which tell equal secrets from different ones.',
  'endUsers.verifyEmail': 'Vouch that a contact’s mail address belongs to the contact.',
  'apiKeys.post': 'Make and rotate API keys, which outlive the token that made them.',
} as const;

type VerbsOf = typeof verbsOf;
/** A scope that a field or type may ask for. */
export type Scope = { [N in keyof VerbsOf]: `${N}.${VerbsOf[N][number]}` }[keyof VerbsOf] | keyof typeof named;

/** Every scope that a field or type may ask for. */
export const scopes: readonly Scope[] = [
  ...Object.entries(verbsOf).flatMap(([noun, own]) => own.map((verb) => `${noun}.${verb}` as Scope)),
  ...(Object.keys(named) as (keyof typeof named)[]),
];

/** Every scope that a token may carry: the above and the wildcards over them. */
export const grantableScopes: readonly string[] = [
  ...scopes,
  ...Object.keys(verbsOf).map((noun) => `${noun}.*`),
  'all.Organization',
  'all.Organization.read',
];

/** The nouns that have records, global ids and scopes of their own. */
export const nouns = ['integration', 'connector', 'endUser', 'connection', 'credential', 'apiKey', 'auditEntry'] as const;
export type Noun = (typeof nouns)[number];

/** The noun's scope for reading, as in `credentials.get`. */
export function readScope(noun: Noun): Scope {
  return noun === 'auditEntry' ? 'audit.get' : `${noun}s.get`;
}

/** Whether what a token carries covers a scope. */
export function covers(granted: ReadonlySet<string>, scope: Scope): boolean {
  if (granted.has(scope)) return true;
  if (scope in named) return false;
  const [noun, verb] = scope.split('.');
  return granted.has(`${noun}.*`) || granted.has('all.Organization') || (verb === 'get' && granted.has('all.Organization.read'));
}

/** The scopes that a scope or a wildcard covers. */
export function scopesOf(granted: string): Scope[] {
  return scopes.filter((scope) => covers(new Set([granted]), scope));
}

/** What belongs to the organization as a whole, and so to no viewer that is limited to one integration. */
const organizationScopes: readonly Scope[] = [
  'integrations.post',
  'integrations.delete',
  'audit.get',
  'apiKeys.get',
  'apiKeys.post',
  'apiKeys.delete',
];

/** The most that a viewer who is limited can be allowed: to one integration, or to one end user of it. */
export const confinedScopes: { readonly [L in 'integration' | 'endUser']: readonly Scope[] } = {
  integration: scopes.filter((scope) => !organizationScopes.includes(scope)),
  endUser: [
    'integrations.get',
    'connectors.get',
    'endUsers.get',
    ...verbs.map((verb) => `connections.${verb}` as const),
    ...verbs.map((verb) => `credentials.${verb}` as const),
  ],
};
