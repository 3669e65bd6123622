import { checkCredential } from '../domain/check.ts';
import {
  createCredential,
  credentialFields,
  deleteCredential,
  newCredentialFields,
  revealFields,
  revealSecret,
  updateCredential,
} from '../domain/credential.ts';
import { credentialHealth, NEVER, runsOutAt } from '../domain/health.ts';
import type { CredentialRecord } from '../domain/reading.ts';
import { refreshCredential } from '../domain/refresh-credential.ts';
import { serviceRevocations } from '../domain/service-revocation.ts';
import { tokenFacts } from '../domain/token-facts.ts';
import {
  ConflictError,
  CredentialNotUsableError,
  InUseError,
  InvalidIntegrationError,
  NotFoundError,
  ServiceFailedError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import { enumValue } from '../fields/enum-value.ts';
import { credentialData } from './credential-data.ts';
import { byState, healthState, problemType } from './health.ts';
import type { OutputBuilder } from './kit/builder.ts';
import { describedBy } from './kit/closed-sets.ts';
import type { CostExtensions } from './kit/cost.ts';
import { byFlag, byGlob, byReference, bySearch, bySetting, byText, byTime, byValues, type ListFilter } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { MUTATION_COST } from './kit/mutation.ts';
import { credentialTypeName } from './kit/node.ts';
import type { SortFields } from './kit/page.ts';
import { recordFields, recordSortFields } from './kit/record-fields.ts';
import { shared } from './kit/shared.ts';
import { CREDENTIAL_BASE, type InterfaceKeyExtensions } from './kit/subgraph-extensions.ts';
import { tokenFactsType } from './token-facts.ts';
import { usagesField } from './usage.ts';

const sortFields = {
  ...recordSortFields,
  KIND: { field: 'kind', description: 'The kind, in alphabetical order of `CredentialKindInfo.name`.' },
  RUNS_OUT_AT: {
    field: 'runsOutAt',
    description: 'The time at which it stops working by itself. Those that never do come last.',
    prepare: ({ health }) => health.settle('credential'),
  },
} as const satisfies SortFields;

/** The input fields of a new credential, alone or within a connection. */
function newMembers(kit: Kit) {
  return {
    ...kit.fields.inputFields(newCredentialFields),
    data: kit.input.field({ type: credentialData(kit).create, required: true, description: 'The kind and its fields.' }),
  };
}

/** The input of a credential that is created together with a connection. */
export const newCredentialInput = shared((kit: Kit) =>
  kit.builder.inputType('NewCredentialInput', {
    description: 'A credential that is created together with a connection.',
    fields: () => newMembers(kit),
  }),
);

/** The GraphQL enum of the kinds that a stored credential can have. */
export const credentialKindEnum = shared(({ builder, kinds }: Kit) =>
  builder.enumType('CredentialKind', {
    description: 'The kinds of stored credentials. `credentialKinds` describes them in detail.',
    values: Object.fromEntries(
      kinds.readable.map(({ kind, typeName }) => [enumValue(kind), { value: kind, description: `The kind of \`${typeName}\`.` }]),
    ),
  }),
);

/** The filters of lists of credentials, but for those by whose they are. */
export const credentialFilters = shared((kit: Kit) => {
  const { builder, kinds, input } = kit;
  const setting = builder.inputType('CredentialSettingFilter', {
    description: 'A text that a setting of a credential must match.',
    fields: () => ({
      name: input.string({
        required: true,
        description: 'The name of a field for which `credentialKinds` shows `isSearchable`, such as `username`.',
      }),
      value: input.string({ required: true, description: 'The text, or a glob with `*` and `?`. Not case-sensitive.' }),
    }),
  });
  const names = new Set([...kinds.searchable.values()].flat());
  return {
    kinds: byValues(credentialKindEnum(kit), 'kind', 'Only credentials of these kinds.'),
    enabled: byFlag('enabled', 'Only enabled, or only disabled credentials.'),
    state: byState(kit, 'credential'),
    expiresBefore: {
      argument: (t) =>
        t({
          type: 'DateTime',
          description:
            'Only those that stop working by themselves before this time, or already have: see `runsOutAt`. Indexed, if sorted by `RUNS_OUT_AT`.',
        }),
      async condition(runsOutBefore: Date, { health }) {
        await health.settle('credential');
        return { runsOutBefore };
      },
    },
    name: byGlob(),
    search: bySearch('name, or a setting that is searchable,'),
    setting: bySetting(setting as never, names, 'Only credentials with such a setting, of whatever kind.'),
    fingerprint: {
      ...byText('Only credentials with a secret that has this fingerprint. Scope: `credentials.fingerprint`.', (fingerprint) => ({
        fingerprint,
      })),
      scope: 'credentials.fingerprint',
    },
    unused: {
      ...byFlag(
        'unused',
        'If true, only credentials that no connection and no connector names; if false, only others. At most 1,000 credentials are looked at for a page, so it can be short. Costs 300 more.',
      ),
      // Up to 10,000 credentials are looked up in two lists for its number.
      cost: 300,
    },
    unusedSince: byTime(
      'Only credentials that were created before this time and not used since. Uses before the gateway recorded them do not count.',
      (time) => ({ unusedSince: time, createdBefore: time }),
    ),
  } satisfies Readonly<Record<string, ListFilter>>;
});

/** Adds `Credential` with one type per kind, its queries and its mutations. Everything about a kind comes from its descriptor. */
export function addCredential(kit: Kit): void {
  const { builder, kinds, node, credential, endUser, integration, fields, input, mutation } = kit;
  const data = credentialData(kit);
  const kindEnum = credentialKindEnum(kit);

  const base = builder.interfaceRef<CredentialRecord>(CREDENTIAL_BASE).implement({
    description:
      'The fields that credentials of all kinds have. `expiresAt` is the time when the credential is deleted, not the expiry of its token or certificate.',
    interfaces: [node],
    extensions: { mayHaveKey: true } satisfies InterfaceKeyExtensions,
    resolveType: (record) => credentialTypeName(kinds, record),
    fields: (interfaceBuilder) => {
      // The fields of an interface are built in the same way as those of an object, but the compiler sees different builders.
      const t = interfaceBuilder as unknown as OutputBuilder<CredentialRecord>;
      return {
        ...recordFields('credential', builder)(t),
        organization: t.string({
          description: 'The organization that owns it: that of the viewer.',
          resolve: ({ organizationId }) => organizationId,
        }),
        integration: integration.owner(t),
        endUser: endUser.related(t, {
          description: 'The end user it belongs to. Null if all connections of the integration can use it.',
          id: ({ endUserId }) => endUserId,
        }),
        ...fields.outputFields(t, credentialFields),
        kind: t.field({ type: kindEnum, description: 'The kind; never changes.', resolve: ({ kind }) => kind }),
        ...data.genericFields(t),
        errors: t.stringList({
          nullable: true,
          // All secrets are opened.
          extensions: { cost: { own: 5 } } satisfies CostExtensions,
          description:
            'The messages of `problems`, and a message for each secret that cannot be opened: this field opens them all to find that out. Empty if it was found to work. Null if nothing is known to be wrong and it was never checked.',
          resolve: async (record, _args, { loaders }) => {
            const errors = await loaders.credentialErrors.load(record);
            return errors && [...errors];
          },
        }),
        state: t.field({
          type: healthState(kit),
          description:
            'Whether it works now. It follows from what is stored about it, and from what was learned by using or checking it. No secret is opened for it. `errors` opens them, and what it finds appears here up to a minute later.',
          resolve: (record, _args, { now }) => credentialHealth(record, now()).state,
        }),
        problems: t.field({
          type: [problemType(kit)],
          description: 'What is wrong with it.',
          resolve: (record, _args, { now }) => [...credentialHealth(record, now()).problems],
        }),
        checkedAt: t.field({
          type: 'DateTime',
          nullable: true,
          description:
            'When the gateway last learned from the service whether it works: by a check, or by a request, of which one in an hour is recorded. Null if it has learned nothing since its settings or secrets were changed.',
          resolve: ({ checkedAt }) => checkedAt ?? null,
        }),
        tokenFacts: t.field({
          type: tokenFactsType(kit),
          nullable: true,
          description:
            'What is known about its access token, which the gateway obtains or refreshes. Null for kinds without such tokens. A refresh changes neither `version` nor `updatedAt`.',
          resolve: tokenFacts,
        }),
        runsOutAt: t.field({
          type: 'DateTime',
          nullable: true,
          description:
            'When it stops working by itself: the first of `expiresAt`, the end of its certificate, and the end of an access token without a refresh token. Null if it does not.',
          resolve: (record) => {
            const end = runsOutAt(record);
            return end < NEVER ? end : null;
          },
        }),
        lastUsedAt: t.field({
          type: 'DateTime',
          nullable: true,
          description:
            'When it was last used for a request to a service. It is exact to the minute, and appears up to a minute later. Null if never, or if that was before this was recorded.',
          resolve: ({ lastUsedAt }) => lastUsedAt ?? null,
        }),
        usages: usagesField(kit, t),
      };
    },
  });
  for (const { kind, type } of kit.credentialTypes) {
    type.implement({
      description: kind.description,
      interfaces: [node, base],
      authScopes: { scope: 'credentials.get' },
      fields: (t) => data.outputFields(kind, t),
    });
  }

  kit.alteredCredential.implement({
    description:
      'A credential of any kind whose stored object was changed, but not by the gateway. It has only the fields that all kinds have. It can be deleted, but neither used nor changed.',
    interfaces: [node, base],
    authScopes: { scope: 'credentials.get' },
  });

  kit.outdatedCredential.implement({
    description:
      'A credential whose stored settings do not fit its kind any more, because the kind was changed since: a value is not allowed any more, or a field became required or secret, or has another type. It has only the fields that all kinds have. It is not used until `updateCredential` gives new values to the fields in `outdatedFields`.',
    interfaces: [node, base],
    authScopes: { scope: 'credentials.get' },
    fields: (t) => ({
      outdatedFields: t.stringList({
        description: 'The names of the fields whose values do not fit. In `fields`, their values are null.',
        resolve: (record) => [...kinds.misfits(record)],
      }),
    }),
  });

  const serviceRevocation = builder.enumType('ServiceRevocation', {
    description: 'What became of the tokens of a deleted credential at the service.',
    values: describedBy(serviceRevocations),
  });
  credential.one('Returns a credential. Null if not found.');
  credential.list({
    description:
      'Lists credentials. Indexed: every sort, with and without an integration; newest first for kinds or a state, with and without an integration, for an end user, if disabled, or for `search`, `setting` and `fingerprint` without a wildcard. Other combinations can have short pages: see `CredentialPage`.',
    sort: { fields: sortFields },
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only credentials of this integration.'),
      endUser: byReference(endUser.reference, 'endUserId', 'Only credentials of this end user.'),
      ...credentialFilters(kit),
    },
  });

  credential.create({
    description: 'Creates a credential.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to. It cannot be changed.' }),
      endUser: endUser.member({
        description:
          'The end user it belongs to, of the same integration. Null if all connections of the integration can use it. It cannot be changed.',
      }),
      ...newMembers(kit),
    },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError],
    run: createCredential,
  });
  credential.update({
    description: 'Changes single fields of a credential. One secret can be replaced without sending the others.',
    input: {
      ...fields.inputFields(credentialFields, { partial: true }),
      data: input.field({ type: data.update, description: 'The fields to change, in the member of the credential’s kind.' }),
    },
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateCredential,
  });
  credential.remove({
    description:
      'Deletes a credential and its secrets. If it is in use, `force` is required. With `revoke`, the service is asked to revoke its tokens after the deletion is committed: a deletion that is refused revokes nothing, and a revocation that fails does not undo the deletion.',
    input: {
      revoke: input.boolean({
        defaultValue: false,
        description:
          'Whether to revoke its refresh token and its access token at the service (RFC 7009), at the `revocationUrl` of the auth scheme by which they are refreshed. For credentials of the kind `oauth2Token`: tokens that the gateway has obtained with other kinds are not revoked, and end by themselves.',
      }),
    },
    cost: ({ revoke }) => (revoke ? 100 : MUTATION_COST),
    also: {
      field: 'revocation',
      type: serviceRevocation,
      description: 'What became of its tokens at the service. Null without `revoke`.',
    },
    force: {
      description:
        'Also removes it from the connections and connectors that use it. Also requires `connections.patch` if a connection uses it, and `connectors.patch` if a connector does.',
      needs: ['connections.patch', 'connectors.patch'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteCredential,
  });

  mutation('refreshCredential', {
    description:
      'Refreshes the tokens of a credential, or obtains a new one, though the old one may be valid. The gateway does so by itself when a token is about to end, so this is for tokens that you do not trust any more. Within ten seconds after a refresh, it does nothing.',
    scope: 'credentials.patch',
    cost: 100,
    inputDescription: 'The credential.',
    input: credential.which(),
    success: { field: 'credential', type: base, description: 'The credential, with its new tokens.' },
    errors: [ValidationError, NotFoundError, ConflictError, CredentialNotUsableError, ServiceFailedError, UnreadableSecretError],
    audit: 'credential',
    run: refreshCredential,
  });

  mutation('checkCredential', {
    description:
      'Tries to open the secrets of a credential, and checks the newest connection that uses it for requests and whose connector says how (`check`). Without one, the service is asked about its access token (RFC 7662), at the `introspectionUrl` of the auth scheme by which it is refreshed; if there is no such URL, or the token is not active, its tokens are refreshed or obtained. Writes what it finds: read `state`, `problems` and `checkedAt` of the result.',
    scope: 'credentials.check',
    cost: 100,
    inputDescription: 'The credential to check.',
    input: { credential: credential.member({ required: true, description: 'The global id of the credential.' }) },
    success: { field: 'credential', type: credential.type, description: 'The credential, as it is after the check.' },
    errors: [ValidationError, NotFoundError],
    audit: 'credential',
    run: checkCredential,
  });

  const revealed = builder.objectRef<Awaited<ReturnType<typeof revealSecret>>>('RevealedSecret').implement({
    description: 'The plaintext of a secret. No other type contains the plaintext of a stored secret. Do not log or cache it.',
    authScopes: { scope: 'credentials.reveal' },
    fields: (t) => ({
      credentialId: t.id({
        description: 'The global id of the credential.',
        resolve: ({ credential }) => encodeId('credential', credential.id),
      }),
      credential: credential.related(t, {
        description: 'The credential. Null if it was deleted meanwhile.',
        id: ({ credential: { id } }) => id,
      }),
      field: t.exposeString('field', { description: 'The name of the secret field.' }),
      plaintext: t.string({ description: 'The plaintext of the secret.', resolve: ({ plain }) => plain.expose() }),
    }),
  });
  builder.objectField(CredentialNotUsableError, 'credential', (t) =>
    credential.related(t, {
      description: 'The credential. Null if there is no `credentialId`, or it is hidden from the viewer or was deleted meanwhile.',
      id: ({ credentialId }) => credentialId,
    }),
  );
  mutation('revealSecret', {
    description:
      'Returns the plaintext of one secret. It is a mutation because it writes an audit entry, and because the response must not be cached. No wildcard covers its scope.',
    scope: 'credentials.reveal',
    // The highest cost of all operations. The default rate limit allows a viewer ten per second.
    cost: 500,
    perRequest: 1,
    inputDescription: 'The secret, and the reason.',
    input: {
      credential: credential.member({ required: true, description: 'The global id of the credential.' }),
      ...fields.inputFields(revealFields),
    },
    success: { field: 'secret', type: revealed, description: 'The secret.' },
    errors: [ValidationError, NotFoundError, UnreadableSecretError],
    audit: 'credential',
    run: revealSecret,
  });
}
