import type { Viewer, ViewerKind } from '../../access/viewer.ts';
import type { Actor } from '../../domain/reading.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import { encodeId } from './global-id.ts';
import { shared } from './shared.ts';

/** The GraphQL enum of the ways to authenticate a viewer. */
export const viewerKind = shared((builder: Builder) =>
  builder.enumType('ViewerKind', {
    description: 'How a viewer was authenticated.',
    values: {
      TOKEN: { value: 'token', description: 'By a token of the organization’s issuer.' },
      API_KEY: { value: 'apiKey', description: 'By an API key.' },
      END_USER: { value: 'endUser', description: 'By an end user’s token.' },
      GATEWAY: { value: 'gateway', description: 'The gateway itself.' },
    } as const satisfies Record<string, { readonly value: ViewerKind; readonly description: string }>,
  }),
);

/** The GraphQL type of a viewer who created or changed an object. */
export const actorType = shared((builder: Builder) =>
  builder.objectRef<Actor>('Actor').implement({
    description: 'A viewer who created or changed an object.',
    fields: (t) => ({
      kind: t.expose('kind', { type: viewerKind(builder), description: 'How the viewer was authenticated.' }),
      subject: t.string({
        nullable: true,
        description:
          'The viewer’s id within the organization, in the same form as in the audit log. A viewer that is limited to an integration or an end user sees only itself and end users: for others, it is null.',
        resolve: (actor, _args, { viewer }) => (isTold(actor, viewer) ? subjectOf(actor) : null),
      }),
    }),
  }),
);

/**
 * Returns whether a viewer may know who somebody is. The subject of a token can be the name or the mail address of a person in the organization,
 * so end users and services for one integration do not see it. What they can read was written by no end users but those they can see.
 */
function isTold({ kind, subject }: Actor, { kind: ownKind, subject: ownSubject, confinedTo }: GraphQLContext['viewer']): boolean {
  return !confinedTo || (kind === ownKind && subject === ownSubject) || (kind === 'endUser' && confinedTo.endUserId === undefined);
}

/** Returns a viewer's subject as it is shown: for an API key or an end user, the global id. */
export function subjectOf({ kind, subject }: Pick<Viewer, 'kind' | 'subject'>): string {
  return kind === 'apiKey' || kind === 'endUser' ? encodeId(kind, subject) : subject;
}
