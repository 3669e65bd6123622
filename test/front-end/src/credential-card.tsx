import type { ReactNode } from 'react';
import { DeleteCredential } from './delete-credential.tsx';
import { Problems, State } from './health.tsx';
import { labelOf } from './labels.ts';
import { Opener } from './opener.tsx';
import type { Credential, Fact, Kind } from './operations.ts';
import { ReplaceSecret } from './replace-secret.tsx';

interface Props {
  credential: Credential;
  kind: Kind | undefined;
  onChange: (message?: string) => void;
}

/** A credential: its values, and of each secret since when it is set. The page cannot read a secret. */
export function CredentialCard({ credential, kind, onChange }: Props) {
  const { name, state, problems, fields, facts } = credential;
  return (
    <article className="credential" aria-label={name}>
      <h3>
        {name} <span className="kind">{labelOf(credential.kind)}</span>
      </h3>
      <State state={state} />
      <Problems problems={problems} />
      <dl>
        {fields.map((field) => {
          const info = kind?.fields.find((each) => each.name === field.name);
          return (
            <Row key={field.name} name={field.name} text={field.secret ? stateOf(field.secret) : textOf(field)}>
              {kind && info?.isSecret && (
                <Opener label="Replace" of={`${labelOf(field.name)} of ${name}`}>
                  {(close) => <ReplaceSecret credential={credential} kind={kind} field={info} onChange={onChange} onClose={close} />}
                </Opener>
              )}
            </Row>
          );
        })}
        {facts.map((fact) => (
          <Row key={fact.name} name={fact.name} text={textOf(fact)} />
        ))}
      </dl>
      <Opener label="Delete" of={name}>
        {(close) => <DeleteCredential credential={credential} onChange={onChange} onClose={close} />}
      </Opener>
    </article>
  );
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

function dayOf(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : day.format(date);
}

function textOf({ type, value }: Fact): string {
  if (value === null || value === undefined) return '';
  if (type === 'BOOLEAN') return value ? 'Yes' : 'No';
  if (type === 'DATE_TIME') return dayOf(String(value));
  return Array.isArray(value) ? value.join(', ') : String(value);
}

function stateOf({ isSet, sealedAt }: { isSet: boolean; sealedAt?: string | null }): string {
  return isSet && sealedAt ? `Set on ${dayOf(sealedAt)}` : 'Not set';
}

/** A value, and what can be done with it. */
function Row({ name, text, children }: { name: string; text: string; children?: ReactNode }) {
  return (
    text && (
      <div>
        <dt>{labelOf(name)}</dt>
        <dd>
          <span className="value">{text}</span>
          {children}
        </dd>
      </div>
    )
  );
}
