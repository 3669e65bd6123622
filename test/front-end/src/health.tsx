import type { HealthState } from './gql/graphql.ts';

const labels: Record<HealthState, string> = {
  WORKING: 'Working',
  UNKNOWN: 'Not used yet',
  DISABLED: 'Disabled',
  NEEDS_ATTENTION: 'Needs attention',
  NEEDS_AUTHORIZATION: 'Needs your consent',
};

/** Whether something works. */
export function State({ state }: { state: HealthState }) {
  return <span className={`state ${state.toLowerCase()}`}>{labels[state]}</span>;
}

/** What the gateway says in the words of its API, in those of this page. */
const texts: Record<string, string> = {
  CREDENTIAL_REQUIRED: 'There is no credential yet. Add one.',
  REFUSED: 'The service refuses the credential. Replace what has changed.',
};

/** What is wrong with it. */
export function Problems({ problems }: { problems: readonly { code: string; message: string }[] }) {
  const messages = new Set(problems.map(({ code, message }) => texts[code] ?? message));
  if (messages.size === 0) return null;
  return (
    <ul className="problems" aria-label="Problems">
      {[...messages].map((message) => (
        <li key={message}>{message}</li>
      ))}
    </ul>
  );
}
