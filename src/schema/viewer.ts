import { scopes } from '../access/scopes.ts';
import { may, type Viewer } from '../access/viewer.ts';
import { subjectOf, viewerKind } from './kit/actor.ts';
import { scopeEnum } from './kit/closed-sets.ts';
import { VIEWER, viewerId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Viewer`, and the query that returns the viewer of the request. */
export function addViewer(kit: Kit): void {
  const { builder, integration, endUser, node } = kit;
  const viewer = builder.objectRef<Viewer>(VIEWER).implement({
    description: 'The authenticated sender of the request.',
    interfaces: [node as never],
    fields: (t) => ({
      id: t.id({
        description: 'The global id. It is the same for all requests of the viewer, and `node` finds it for this viewer only.',
        resolve: viewerId,
      }),
      organization: t.exposeString('organizationId', {
        description: 'The organization of the viewer. Data of other organizations cannot be accessed.',
      }),
      kind: t.expose('kind', { type: viewerKind(builder), description: 'How the viewer was authenticated.' }),
      subject: t.string({
        description: 'The viewer’s id within the organization, in the same form as in the audit log.',
        resolve: subjectOf,
      }),
      scopes: t.field({
        type: [scopeEnum(builder)],
        description: 'The effective scopes: wildcards are expanded, and scopes that a limited viewer cannot have are left out.',
        resolve: (viewer) => scopes.filter((scope) => may(viewer, scope)),
      }),
      integration: integration.related(t, {
        description: 'The integration that the viewer is limited to. Null if not limited.',
        id: ({ confinedTo }) => confinedTo?.integrationId,
      }),
      endUser: endUser.related(t, {
        description: 'The end user that the viewer is limited to. Null if not limited.',
        id: ({ confinedTo }) => confinedTo?.endUserId,
      }),
    }),
  });
  builder.queryField('viewer', (t) =>
    t.field({
      type: viewer,
      description: 'Returns the viewer of the request. Scope: none.',
      resolve: (_root, _args, context) => context.viewer,
    }),
  );
}
