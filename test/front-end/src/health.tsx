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

/** What is wrong with it, and what to do. */
export function Problems({ problems }: { problems: readonly { message: string }[] }) {
  const messages = [...new Set(problems.map(({ message }) => message))];
  if (messages.length === 0) return null;
  return (
    <ul className="problems" aria-label="Problems">
      {messages.map((message) => (
        <li key={message}>{message}</li>
      ))}
    </ul>
  );
}
