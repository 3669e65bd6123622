import { enteredIn, FieldInput } from './field-input.tsx';
import { execute } from './gateway.ts';
import type { CredentialDataChanges } from './gql/graphql.ts';
import { Problems, State } from './health.tsx';
import { labelOf } from './labels.ts';
import { Opener } from './opener.tsx';
import { type Credential, DELETE, type Field, type Kind, REPLACE } from './operations.ts';
import { errorAt, ProblemText, useSubmit } from './submission.tsx';

interface Props {
  credential: Credential;
  kind: Kind | undefined;
  onChange: (message?: string) => void;
}

const shim = (kind: Kind | undefined) => ({
  fields: (kind?.fields ?? []).map(({ name, isSecret }) => ({
    name,
    value: isSecret ? null : 'HEADER',
    secret: isSecret ? { isSet: true, sealedAt: '2026-11-27T00:00:00Z' } : null,
  })),
  facts: [] as { name: string; value: string }[],
});
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

/** A credential: its values, and of each secret whether it is set. The page cannot read a secret, and so cannot show one. */
export function CredentialCard({ credential, kind, onChange }: Props) {
  const { name, state, problems } = credential;
  const { fields, facts } = shim(kind);
  return (
    <article className="credential" aria-label={name}>
      <h3>
        {name} <span className="kind">{labelOf(credential.kind)}</span>
      </h3>
      <State state={state} />
      <Problems problems={problems} />
      <dl>
        {fields.map(({ name: fieldName, value, secret }) => {
          const field = kind?.fields.find((each) => each.name === fieldName);
          return (
            <div key={fieldName}>
              <dt>{labelOf(fieldName)}</dt>
              <dd>
                {secret ? (secret.sealedAt ? `Set on ${day.format(new Date(secret.sealedAt))}` : 'Not set') : (value ?? '–')}
                {kind && field?.isSecret && (
                  <Opener label="Replace" of={`${labelOf(fieldName)} of ${name}`}>
                    {(close) => <ReplaceSecret credential={credential} kind={kind} field={field} onChange={onChange} onClose={close} />}
                  </Opener>
                )}
              </dd>
            </div>
          );
        })}
        {facts.map((fact) => (
          <div key={fact.name}>
            <dt>{labelOf(fact.name)}</dt>
            <dd>{fact.value}</dd>
          </div>
        ))}
      </dl>
      <Opener label="Delete" of={name}>
        {(close) => <DeleteCredential credential={credential} onChange={onChange} onClose={close} />}
      </Opener>
    </article>
  );
}

interface FormProps {
  credential: Credential;
  onChange: (message?: string) => void;
  onClose: () => void;
}

/** Replaces one secret, and leaves everything else as it is. */
function ReplaceSecret({ credential, kind, field, onChange, onClose }: FormProps & { kind: Kind; field: Field }) {
  const path = ['input', 'data', kind.name, field.name];
  const setting = shim(kind).fields.find(({ name }) => name === field.formatDependsOn)?.value;
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

/** Deletes a credential. If something uses it, the gateway refuses and says what, and the user decides. */
function DeleteCredential({ credential, onChange, onClose }: FormProps) {
  const { id, name, version } = credential;
  const submission = useSubmit(
    async () => (await execute(DELETE, { input: { credential: id, expectedVersion: version, force: Boolean(inUse) } })).result,
    {
      success: () => {
        form.ref.current?.closest<HTMLElement>('section')?.focus();
        onChange(`${name} was deleted.`);
      },
      stale: onChange,
    },
  );
  const { form, problem, isBusy } = submission;
  const inUse = problem?.failure?.__typename === 'InUseError' ? problem.failure : undefined;
  return (
    <form {...form} className="warning" aria-label={`Delete ${name}`}>
      {inUse ? (
        <div role="alert" tabIndex={-1}>
          <p>It is used here, and would be missing:</p>
          <ul>
            {inUse.usages.map((usage) => (
              <li key={usage.name}>{`${labelOf(usage.noun)} ${usage.name}`}</li>
            ))}
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
