import { enteredIn, FieldInput } from './field-input.tsx';
import { execute } from './gateway.ts';
import type { CredentialDataChanges } from './gql/graphql.ts';
import { labelOf } from './labels.ts';
import { type Credential, type Field, type Kind, REPLACE } from './operations.ts';
import { errorAt, ProblemText, useSubmit } from './submission.tsx';

interface Props {
  credential: Credential;
  kind: Kind;
  field: Field;
  onChange: (message?: string) => void;
  onClose: () => void;
}

/** Replaces one secret, and leaves everything else as it is. */
export function ReplaceSecret({ credential, kind, field, onChange, onClose }: Props) {
  const path = ['input', 'data', kind.name, field.name];
  const setting = credential.fields.find(({ name }) => name === field.formatDependsOn)?.value;
  const { form, problem, isBusy } = useSubmit(
    async (values) => {
      const data = { [kind.name]: { [field.name]: enteredIn(values, field) } } as unknown as CredentialDataChanges;
      return (await execute(REPLACE, { input: { credential: credential.id, expectedVersion: credential.version, data } })).result;
    },
    {
      success: () => {
        onChange(`${labelOf(field.name)} was replaced.`);
        onClose();
      },
      stale: onChange,
    },
  );
  return (
    <form {...form} aria-label={`Replace ${labelOf(field.name)} of ${credential.name}`} autoComplete="off">
      <FieldInput
        field={{ ...field, isRequired: true }}
        format={field.formats?.find(({ value }) => value === setting)?.format ?? field.format}
        error={errorAt(problem, path)}
      />
      <ProblemText problem={problem} fields={[path]} />
      <p className="actions">
        <button type="submit" disabled={isBusy}>
          Replace
        </button>
        <button type="button" className="quiet" onClick={onClose}>
          Cancel
        </button>
      </p>
    </form>
  );
}
