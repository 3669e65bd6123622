import { scopes } from '../access/scopes.ts';
import { may, type Viewer, type ViewerKind } from '../access/viewer.ts';
import type { Builder } from './builder.ts';
import { encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';

/** Adds `Viewer`, and the query by which whoever asks learns how they are known. */
export function addViewer(builder: Builder, { types }: Kit) {
  const viewerKind = builder.enumType('ViewerKind', {
    description: 'By what a viewer is known.',
    values: {
      TOKEN: { value: 'token', description: 'A token of the organization’s issuer.' },
      API_KEY: { value: 'apiKey', description: 'An API key.' },
      END_USER: { value: 'endUser', description: 'A token that was made for an end user.' },
      GATEWAY: { value: 'gateway', description: 'None: the gateway itself did it.' },
    } as const satisfies Record<string, { readonly value: ViewerKind; readonly description: string }>,
  });
  const viewer = builder.objectRef<Viewer>('Viewer').implement({
    description: 'Who asks, as the gateway knows them by what they presented.',
    fields: (t) => ({
      organization: t.exposeString('organizationId', { description: 'The organization: of no other is anything found.' }),
      kind: t.expose('kind', { type: viewerKind, description: 'By what.' }),
      subject: t.string({ description: 'Who within the organization, as the audit log tells it.', resolve: subjectOf }),
      scopes: t.stringList({
        description: 'What they may do: wildcards written out, and without what their limit leaves no room for.',
        resolve: (viewer) => scopes.filter((scope) => may(viewer, scope)),
      }),
      integration: t.field({
        type: types.integration,
        nullable: true,
        description: 'The one integration that there is for them. Null: they are not limited to one. Scope: `integrations.get`.',
        authScopes: { scope: 'integrations.get' },
        resolve: ({ confinedTo }, _args, { loaders }) => (confinedTo ? loaders.integration.byId.load(confinedTo.integrationId) : null),
      }),
      endUser: t.field({
        type: types.endUser,
        nullable: true,
        description: 'The one end user that there is for them. Null: they are not limited to one. Scope: `endUsers.get`.',
        authScopes: { scope: 'endUsers.get' },
        resolve: ({ confinedTo }, _args, { loaders }) => (confinedTo?.endUserId ? loaders.endUser.byId.load(confinedTo.endUserId) : null),
      }),
    }),
  });
  builder.queryField('viewer', (t) =>
    t.field({
      type: viewer,
      description: 'Who asks. Scope: none, for it tells what whoever presents a token could know.',
      resolve: (_root, _args, context) => context.viewer,
    }),
  );
  return { viewerKind };
}

/** A viewer's subject as it is shown: of an API key or an end user, the global id. */
export function subjectOf({ kind, subject }: Pick<Viewer, 'kind' | 'subject'>): string {
  return kind === 'apiKey' || kind === 'endUser' ? encodeId(kind, subject) : subject;
}
