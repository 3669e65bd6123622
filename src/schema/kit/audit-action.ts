import { type GatewayAction, gatewayActions } from '../../access/gateway-actions.ts';
import type { Builder } from './builder.ts';
import { describedBy } from './closed-sets.ts';
import { shared } from './shared.ts';

/** The names of the mutations of a schema, as the audit log has them. They are complete when all parts of the schema are added. */
export const mutationNames = shared((_builder: Builder): string[] => []);

const OTHER = 'OTHER';

/** An action as the audit log has it: the name of a mutation or an action of the gateway, or `OTHER`. */
export type AuditAction = GatewayAction | typeof OTHER | (string & {});

/**
 * The enum of the actions. Its values are the texts that are stored, streamed and sent to webhooks. Ask for it in a function that returns fields or arguments:
 * before that, not all mutations are known.
 */
export const auditAction = shared((builder: Builder) =>
  builder.enumType('AuditAction', {
    description:
      'What was done: a mutation, by the name that it has in `schema.graphql`, or an action of the gateway itself. New versions can add actions.',
    values: {
      ...Object.fromEntries(mutationNames(builder).map((name) => [name, { description: `The mutation \`${name}\`.` }])),
      ...describedBy<GatewayAction>(gatewayActions),
      [OTHER]: {
        description:
          'An action that this version of the gateway does not know, or a sum of refusals of several actions. A filter by it is refused.',
      },
    } as Record<AuditAction, { readonly description: string }>,
  }),
);

/** Returns the value of the enum for the text of an entry. */
export function actionOf(builder: Builder, text: string): AuditAction {
  return Object.hasOwn(gatewayActions, text) || mutationNames(builder).includes(text) ? text : OTHER;
}
