import {
  type ConnectionProblem,
  type HealthState,
  type Problem,
  problemCodes,
  problemMessages,
  stateDescriptions,
} from '../domain/health.ts';
import type { ConnectionRecord } from '../domain/reading.ts';
import type { GraphQLContext, OutputBuilder } from './kit/builder.ts';
import { describedBy } from './kit/closed-sets.ts';
import type { CostExtensions } from './kit/cost.ts';
import type { ListFilter } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** The enum of the states of credentials and connections. */
export const healthState = shared(({ builder }: Kit) =>
  builder.enumType('HealthState', {
    description: 'Whether a credential or a connection works, as far as the gateway knows.',
    values: describedBy<HealthState>(stateDescriptions),
  }),
);

/** The enum of what can be wrong with a credential or a connection. */
export const problemCode = shared(({ builder }: Kit) =>
  builder.enumType('ProblemCode', {
    description: 'What is wrong with a credential or a connection.',
    values: Object.fromEntries(problemCodes.map((each) => [each, { description: problemMessages[each] }])),
  }),
);

/** The type of a problem of a credential or a connection. */
export const problemType = shared((kit: Kit) => {
  const { builder } = kit;
  const code = problemCode(kit);
  return builder.objectRef<Problem>('Problem').implement({
    description: 'Something that is wrong with a credential or a connection.',
    fields: (t) => ({
      code: t.field({ type: code, description: 'What is wrong, for programs.', resolve: (problem) => problem.code }),
      message: t.string({ description: 'The same for people.', resolve: (problem) => problemMessages[problem.code] }),
      since: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'Since when. Null if unknown.',
        resolve: ({ since }) => since,
      }),
    }),
  });
});

/** Returns a filter by state. The stored states are made right before they are searched. */
export function byState(kit: Kit, noun: 'credential' | 'connection'): ListFilter {
  return {
    argument: (t) => t({ type: healthState(kit), description: 'Only those in this state now. Indexed, newest first.' }),
    async condition(state: HealthState, { health }: GraphQLContext) {
      await health.settle(noun);
      return { state };
    },
  };
}

/** Returns the fields of a connection that tell whether it works. */
export function connectionHealthFields(kit: Kit, t: OutputBuilder<ConnectionRecord>) {
  // Its credentials are read.
  const extensions = { cost: { own: 2 } } satisfies CostExtensions;
  return {
    state: t.field({
      type: healthState(kit),
      extensions,
      description:
        'Whether it works now. It follows from all of its credentials, also those that the viewer cannot see, and from what was learned by using or checking it. The first of DISABLED, NEEDS_AUTHORIZATION and NEEDS_ATTENTION that one of them has decides. It does not say whether the configuration permits requests, such as the purposes and domains that its credentials allow and its auth schemes: `requestPlan.problems` does, and so does a check (NOT_USABLE).',
      resolve: async (record, _args, { loaders }) => (await loaders.connectionHealth.load(record)).state,
    }),
    problems: t.field({
      type: [problemType(kit)],
      nullable: true,
      extensions,
      description:
        'What is wrong with it and with its credentials that the viewer can see. What its configuration prevents is in `requestPlan.problems`, and here only after a check (NOT_USABLE). Null only without the scope. Scope: `credentials.get`.',
      authScopes: { scope: 'credentials.get' },
      resolve: async (record, _args, { loaders }) => {
        const { problems } = await loaders.connectionHealth.load(record);
        const isShown = await Promise.all(problems.map((problem) => isVisible(problem, loaders)));
        const shown = problems.filter((_, index) => isShown[index]);
        // A viewer learns no more about a credential that it cannot see than the state of the connection tells.
        return shown.length > 0 || problems.length === 0 ? shown : [{ code: 'CREDENTIAL_PROBLEM' as const, since: null }];
      },
    }),
    checkedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description:
        'When the gateway last learned from the service whether it works: by a check, or by a request, of which one in an hour is recorded. Null if it has learned nothing since its credentials or its destination were changed.',
      resolve: ({ checkedAt }) => checkedAt ?? null,
    }),
  };
}

async function isVisible({ credentialId, code }: ConnectionProblem, { credentialVisibility }: GraphQLContext['loaders']): Promise<boolean> {
  if (credentialId === null) return true;
  const visibility = await credentialVisibility.load(credentialId);
  return visibility === 'AVAILABLE' || (visibility === 'EXPIRED' && code === 'CREDENTIAL_MISSING');
}
