import { scopes } from '../access/scopes.ts';
import { may, type Viewer, type ViewerKind } from '../access/viewer.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** By what a viewer is known, as a GraphQL enum. */
export const viewerKind = shared(({ builder }: Kit) =>
  builder.enumType('ViewerKind', {
    description: 'By what a viewer is known.',
    values: {
      TOKEN: { value: 'token', description: 'A token of the organization’s issuer.' },
      API_KEY: { value: 'apiKey', description: 'An API key.' },
      END_USER: { value: 'endUser', description: 'A token that was made for an end user.' },
      GATEWAY: { value: 'gateway', description: 'None: the gateway itself did it.' },
    } as const satisfies Record<string, { readonly value: ViewerKind; readonly description: string }>,
  }),
);

/** Adds `Viewer`, and the query by which whoever asks learns how they are known. */
export function addViewer(kit: Kit): void {
  const { builder, integration, endUser } = kit;
  const viewer = builder.objectRef<Viewer>('Viewer').implement({
    description: 'Who asks, as the gateway knows them by what they presented.',
    fields: (t) => ({
      organization: t.exposeString('organizationId', { description: 'The organization: of no other is anything found.' }),
      kind: t.expose('kind', { type: viewerKind(kit), description: 'By what.' }),
      subject: t.string({ description: 'Who within the organization, as the audit log tells it.', resolve: subjectOf }),
      scopes: t.stringList({
        description: 'What they may do: wildcards written out, and without what their limit leaves no room for.',
        resolve: (viewer) => scopes.filter((scope) => may(viewer, scope)),
      }),
      integration: integration.related(t, {
        description: 'The only integration that exists for them. Null: they are not limited to one.',
        id: ({ confinedTo }) => confinedTo?.integrationId,
      }),
      endUser: endUser.related(t, {
        description: 'The only end user that exists for them. Null: they are not limited to one.',
        id: ({ confinedTo }) => confinedTo?.endUserId,
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
}

/** A viewer's subject as it is shown: of an API key or an end user, the global id. */
export function subjectOf({ kind, subject }: Pick<Viewer, 'kind' | 'subject'>): string {
  return kind === 'apiKey' || kind === 'endUser' ? encodeId(kind, subject) : subject;
}
