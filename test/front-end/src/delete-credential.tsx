import { execute } from './gateway.ts';
import { labelOf } from './labels.ts';
import { type Credential, DELETE } from './operations.ts';
import { ProblemText, useSubmit } from './submission.tsx';

interface Props {
  credential: Credential;
  onChange: (message?: string) => void;
  onClose: () => void;
}

/** Deletes a credential. If something uses it, the gateway refuses and says what, and the user decides. */
export function DeleteCredential({ credential, onChange, onClose }: Props) {
  const { id, name, version } = credential;
  const { form, problem, isBusy } = useSubmit(
    // The first time, something that uses it prevents the deletion. The second time, the user has read what.
    async () => (await execute(DELETE, { input: { credential: id, expectedVersion: version, force: inUse !== undefined } })).result,
    {
      success: () => {
        // What had the focus is gone.
        form.ref.current?.closest<HTMLElement>('section')?.focus();
        onChange(`${name} was deleted.`);
      },
      stale: onChange,
    },
  );
  const inUse = problem?.failure?.__typename === 'InUseError' ? problem.failure : undefined;
  const hidden = inUse ? inUse.usageCount - inUse.usages.length : 0;
  return (
    <form {...form} className="warning" aria-label={`Delete ${name}`}>
      {inUse ? (
        <div role="alert" tabIndex={-1}>
          <p>It is used here, and would be missing:</p>
          <ul>
            {inUse.usages.map((usage) => (
              <li key={usage.node?.id ?? usage.name}>{`${labelOf(usage.noun)} ${usage.name}`}</li>
            ))}
            {hidden > 0 && <li>{`${hidden} more that you cannot see`}</li>}
          </ul>
        </div>
      ) : (
        <p>Delete {name}? Its secrets cannot be restored.</p>
      )}
      {!inUse && <ProblemText problem={problem} />}
      <p className="actions">
        <button type="submit" disabled={isBusy}>
          {inUse ? 'Delete anyway' : 'Delete'}
        </button>
        <button type="button" className="quiet" onClick={onClose}>
          Keep
        </button>
      </p>
    </form>
  );
}
