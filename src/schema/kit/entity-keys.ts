import type { Noun } from '../../access/nouns.ts';
import type { BaseRecord } from '../../domain/reading.ts';
import type { Path } from '../../errors.ts';
import type { GraphQLContext } from './builder.ts';
import { parseId } from './global-id.ts';
import { checkSought, NOTHING } from './input.ts';

/** A key of an entity besides `id` (Apollo Federation, `@key`): its fields, and how a record is found by their values. */
export interface EntityKey {
  readonly fields: readonly string[];
  readonly load: (values: readonly string[], context: GraphQLContext, path: Path) => Promise<BaseRecord | null>;
}

/** The nouns whose types declare such keys: those that `implement` of the kit implements. */
type KeyedNoun = Exclude<Noun, 'credential' | 'event' | 'webhookDelivery' | 'auditEntry'>;

const entityKeys: { readonly [N in KeyedNoun]?: readonly EntityKey[] } = {
  // By what other systems know of an end user.
  endUser: [
    {
      fields: ['integrationId', 'externalId'],
      async load([integrationId, externalId], { loaders }) {
        const parsed = parseId(integrationId!);
        if (parsed?.noun !== 'integration') return null;
        return loaders.endUserByExternalId.load({ integrationId: parsed.id, externalId: externalId! });
      },
    },
    {
      fields: ['integrationName', 'externalId'],
      async load([integrationName, externalId], { loaders }, path) {
        const name = checkSought(integrationName!, [...path, 'integrationName']);
        const integration = await loaders.integrationByName.load(name);
        // Of an integration that there is not, the end user is looked up, too: who may not read integrations must not find out by the time which there are.
        const integrationId = integration?.id ?? `${NOTHING} ${name.normalize('NFC')}`;
        return loaders.endUserByExternalId.load({ integrationId, externalId: externalId! });
      },
    },
  ],
};

/** Returns the keys besides `id`. The kit declares them in the extensions of the types, and `_entities` finds records by them. */
export function entityKeysOf(noun: Noun): readonly EntityKey[] {
  return (entityKeys as { readonly [N in Noun]?: readonly EntityKey[] })[noun] ?? [];
}
