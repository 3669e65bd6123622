import { DeleteCredential } from './delete-credential.tsx';
import { Problems, State } from './health.tsx';
import { labelOf } from './labels.ts';
import { Opener } from './opener.tsx';
import type { Credential, Kind } from './operations.ts';
import { ReplaceSecret } from './replace-secret.tsx';

interface Props {
  credential: Credential;
  kind: Kind | undefined;
  onChange: (message?: string) => void;
}

/** A credential, and what can be done with it. */
export function CredentialCard({ credential, kind, onChange }: Props) {
  const { name, state, problems } = credential;
  return (
    <article className="credential" aria-label={name}>
      <h3>
        {name} <span className="kind">{labelOf(credential.kind)}</span>
      </h3>
      <State state={state} />
      <Problems problems={problems} />
      <dl>
        {kind?.fields
          .filter(({ isSecret }) => isSecret)
          .map((field) => (
            <div key={field.name}>
              <dt>{labelOf(field.name)}</dt>
              <dd>
                <Opener label="Replace" of={`${labelOf(field.name)} of ${name}`}>
                  {(close) => <ReplaceSecret credential={credential} kind={kind} field={field} onChange={onChange} onClose={close} />}
                </Opener>
              </dd>
            </div>
          ))}
      </dl>
      <Opener label="Delete" of={name}>
        {(close) => <DeleteCredential credential={credential} onChange={onChange} onClose={close} />}
      </Opener>
    </article>
  );
}
