import { may } from '../access/viewer.ts';
import { usesOfCredential } from '../domain/deletion.ts';
import type { ConnectionRecord } from '../domain/reading.ts';
import type { OutputBuilder } from './kit/builder.ts';
import type { Kit } from './kit/index.ts';
import { loadUsagePage, pageArgs } from './kit/page.ts';
import { shared } from './kit/shared.ts';

/** The interface of what can use a credential: connections and connectors. */
export const credentialUsage = shared(({ builder, node }: Kit) =>
  // Whatever has these fields can use a credential. The compiler needs one of the types.
  builder.interfaceRef<Pick<ConnectionRecord, 'id' | 'name' | 'createdAt' | 'updatedAt'>>('CredentialUsage').implement({
    description: 'A connection or a connector that uses a credential.',
    interfaces: [node as never],
    fields: (t) => ({
      name: t.exposeString('name', { description: 'The name.' }),
      createdAt: t.field({ type: 'DateTime', description: 'The time of creation.', resolve: ({ createdAt }) => createdAt }),
      updatedAt: t.field({ type: 'DateTime', description: 'The time of the last change.', resolve: ({ updatedAt }) => updatedAt }),
    }),
  }),
);

const usagePage = shared((kit: Kit) => kit.pages.pageType('connection', credentialUsage(kit) as never, 'CredentialUsage'));

/** Returns the field for a page of the records that use a credential. They are the same that prevent its deletion. */
export function usagesField(kit: Kit, t: OutputBuilder<{ readonly id: string }>) {
  return t.field({
    type: usagePage(kit),
    nullable: true,
    description:
      'The connections and connectors that use it, newest first: those that `deleteCredential` names. Connectors are left out, but counted, without the scope `connectors.get`. Null without the scope `connections.get`. Scope: `connections.get`.',
    authScopes: { scope: 'connections.get' },
    args: pageArgs(t.arg),
    resolve: ({ id }, args, context) => loadUsagePage(context, usesOfCredential(id), may(context.viewer, 'connectors.get'), args),
  });
}
