import { useId, useState } from 'react';
import { enteredIn, FieldInput, Labelled } from './field-input.tsx';
import { execute } from './gateway.ts';
import type { CredentialDataInput } from './gql/graphql.ts';
import { labelOf } from './labels.ts';
import { ADD, type Connection, type Kind } from './operations.ts';
import { errorAt, ProblemText, useSubmit } from './submission.tsx';

const created = ['input', 'credential', 'create'];

/** What the new credential is for: requests to the service of the connection. Without that, it would be stored, but never used. */
function usableFor({ allowedDomain, requestPlan: { baseUrl } }: Connection) {
  const host = allowedDomain ?? (baseUrl && new URL(baseUrl).hostname);
  return { allowedPurposes: ['ACTION' as const], allowedDomains: host ? [host] : [] };
}

interface Props {
  connection: Connection;
  kinds: Kind[];
  onChange: (message?: string) => void;
  onClose: () => void;
}

/** Adds a credential to a connection. Which inputs there are follows from the chosen kind. */
export function AddCredential({ connection, kinds, onChange, onClose }: Props) {
  const id = useId();
  const [kind, setKind] = useState<Kind>();
  const [choices, setChoices] = useState<Record<string, string>>({});
  const [isGenerated, setGenerated] = useState(false);
  const fields = kind?.fields.filter(({ name }) => !(isGenerated && name === kind.generates)) ?? [];
  const pathOf = (name: string) => [...created, 'data', kind?.name ?? '', name];

  const { form, problem, isBusy } = useSubmit(
    async (values) => {
      const entered = Object.fromEntries(fields.map((field) => [field.name, enteredIn(values, field)]));
      // The form is drawn from data, so the compiler cannot know the members. The gateway checks them.
      const data = { [kind!.name]: isGenerated ? { ...entered, generatePrivateKey: true } : entered } as unknown as CredentialDataInput;
      // The space keeps this name apart from those of the fields.
      const create = { name: String(values.get('credential name')), data, ...usableFor(connection) };
      const input = {
        connection: { id: connection.id },
        expectedVersion: connection.version,
        list: 'ACTION' as const,
        credential: { create },
      };
      return (await execute(ADD, { input })).result;
    },
    {
      success: () => {
        onChange('The credential was added.');
        onClose();
      },
      stale: onChange,
    },
  );
  return (
    <form {...form} className="add" aria-label={`Add a credential to ${connection.name}`} autoComplete="off">
      <Labelled
        id={`${id}-kind`}
        label="Kind"
        hint={kind?.refusal ? `This kind ${kind.refusal}.` : kind?.description}
        isRequired
        error={undefined}
      >
        <select
          id={`${id}-kind`}
          required
          aria-describedby={`${id}-kind-hint`}
          value={kind?.name ?? ''}
          onChange={({ currentTarget }) => {
            setKind(kinds.find(({ name }) => name === currentTarget.value));
            setChoices({});
            setGenerated(false);
          }}
        >
          <option value="">Choose…</option>
          {kinds.map(({ name }) => (
            <option key={name} value={name}>
              {labelOf(name)}
            </option>
          ))}
        </select>
      </Labelled>
      <Labelled id={`${id}-name`} label="Name" isRequired error={errorAt(problem, [...created, 'name'])}>
        <input
          id={`${id}-name`}
          name="credential name"
          required
          aria-describedby={`${id}-name-error`}
          aria-invalid={errorAt(problem, [...created, 'name']) ? true : undefined}
        />
      </Labelled>
      {kind?.generates && (
        <label>
          <input type="checkbox" checked={isGenerated} onChange={({ currentTarget }) => setGenerated(currentTarget.checked)} />
          {` Generate “${labelOf(kind.generates)}” at the server`}
        </label>
      )}
      {fields.map((field) => (
        <FieldInput
          key={`${kind?.name}.${field.name}`}
          field={field}
          format={field.formats?.find(({ value }) => value === choices[field.formatDependsOn ?? ''])?.format ?? field.format}
          error={errorAt(problem, pathOf(field.name))}
          onChoose={(value) => setChoices({ ...choices, [field.name]: value })}
        />
      ))}
      <ProblemText problem={problem} fields={[[...created, 'name'], ...fields.map(({ name }) => pathOf(name))]} />
      <p className="actions">
        <button type="submit" disabled={isBusy || Boolean(kind?.refusal)}>
          Add
        </button>
        <button type="button" className="quiet" onClick={onClose}>
          Cancel
        </button>
      </p>
    </form>
  );
}
