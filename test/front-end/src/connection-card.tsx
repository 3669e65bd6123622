import { useId } from 'react';
import { AddCredential } from './add-credential.tsx';
import { CredentialCard } from './credential-card.tsx';
import { Problems, State } from './health.tsx';
import { Opener } from './opener.tsx';
import type { Connection, Kind } from './operations.ts';

interface Props {
  connection: Connection;
  kinds: Kind[];
  onChange: (message?: string) => void;
}

/** A connection: whether it works, and its credentials. */
export function ConnectionCard({ connection, kinds, onChange }: Props) {
  const id = useId();
  const { name, state, problems, requestPlan, actionCredentials } = connection;
  // The problems of its credentials are shown with them.
  const shown = new Set<string>(actionCredentials.flatMap(({ credential }) => credential?.problems.map(({ code }) => code) ?? []));
  const others = [...(problems ?? []), ...(requestPlan.problems ?? [])].filter(({ code }) => !shown.has(code));
  return (
    <section className="connection" aria-labelledby={id} tabIndex={-1}>
      <h2 id={id}>{name}</h2>
      <State state={state} />
      <Problems problems={others} />
      {actionCredentials.map(({ credentialId, credential, state }) =>
        credential ? (
          <CredentialCard
            key={credentialId}
            credential={credential}
            kind={kinds.find(({ kind }) => kind === credential.kind)}
            onChange={onChange}
          />
        ) : (
          <p key={credentialId} className="hint">
            {state === 'HIDDEN' ? 'We manage one more credential of this connection.' : 'A credential has expired.'}
          </p>
        ),
      )}
      <Opener label="Add a credential" of={`to ${name}`}>
        {(close) => <AddCredential connection={connection} kinds={kinds} onChange={onChange} onClose={close} />}
      </Opener>
    </section>
  );
}
