import { type FormEvent, useEffect, useRef, useState } from 'react';
import type { Failure } from './operations.ts';

type Result = Failure | { __typename: `${string}Success` };

/** Why a submission failed. `failure` is what the gateway says about it, if it was asked. */
export interface Problem {
  message: string;
  failure?: Failure;
}

function problemOf(failure: Failure): Problem {
  switch (failure.__typename) {
    case 'ValidationError':
      return { failure, message: 'Some values were not accepted.' };
    case 'ConflictError':
      return { failure, message: 'Somebody has changed this meanwhile. You now see the present state: look at it, and try again.' };
    case 'NotFoundError':
      return { failure, message: 'This does not exist any more.' };
    default:
      return { failure, message: failure.message };
  }
}

/** Runs a mutation when the form is submitted, and keeps why it failed. What was typed is in no state: it is read from the form, and cleared with it. */
export function useSubmit(run: (values: FormData) => Promise<Result>, on: { success: () => void; stale: () => void }) {
  const ref = useRef<HTMLFormElement>(null);
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);

  async function submit(values: FormData) {
    const result = await run(values);
    if (!('code' in result)) {
      ref.current?.reset();
      return on.success();
    }
    setProblem(problemOf(result));
    if (result.__typename === 'ConflictError' || result.__typename === 'NotFoundError') on.stale();
  }
  function onSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    submit(new FormData(event.currentTarget))
      .catch((error: Error) => setProblem({ message: error.message }))
      .finally(() => setBusy(false));
  }
  // Whoever uses the keyboard or a screen reader is taken to what is wrong.
  useEffect(() => {
    if (problem) ref.current?.querySelector<HTMLElement>('[aria-invalid=true], [role=alert]')?.focus();
  }, [problem]);
  return { form: { ref, onSubmit, 'aria-busy': isBusy }, problem, isBusy };
}

const isAt = (path: string[], prefix: string[]) => prefix.every((name, index) => path[index] === name);

/** What the gateway says about the input at this path: about one field of the form, or about an item of its list. */
export function errorAt(problem: Problem | undefined, path: string[]): string | undefined {
  const failure = problem?.failure;
  if (failure?.__typename !== 'ValidationError') return undefined;
  return failure.issues.find((issue) => isAt(issue.path, path))?.message;
}

/** What is wrong with the whole form, and with values that have no field in it. */
export function ProblemText({ problem, fields = [] }: { problem: Problem | undefined; fields?: string[][] }) {
  if (!problem) return null;
  const issues = problem.failure?.__typename === 'ValidationError' ? problem.failure.issues : [];
  const others = issues.filter(({ path }) => !fields.some((prefix) => isAt(path, prefix)));
  return (
    <div role="alert" className="error" tabIndex={-1}>
      {problem.message}
      {others.length > 0 && (
        <ul>
          {others.map(({ path, message }) => (
            <li key={path.join()}>{`${path.at(-1)}: ${message}`}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
