import { useEffect, useState } from 'react';
import { ConnectionCard } from './connection-card.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import { execute } from './gateway.ts';
import { KINDS, type Kind } from './operations.ts';
import { useConnections } from './use-connections.ts';

/** The services that the signed-in user has connected. */
export function SettingsPage() {
  const { page, error, readAgain, readMore } = useConnections();
  const [kinds, setKinds] = useState<Kind[]>([]);
  const [message, setMessage] = useState('');

  useEffect(() => {
    execute(KINDS, {}).then(
      ({ credentialKinds }) => setKinds(credentialKinds),
      ({ message }: Error) => setMessage(message),
    );
  }, []);

  function onChange(message = '') {
    setMessage(message);
    readAgain();
  }
  const connections = page?.connections?.nodes ?? [];
  return (
    <>
      <header>
        <h1>Connected services</h1>
        <p>{page?.viewer.endUser?.displayName}</p>
      </header>
      <p role="status">{message || (page || error ? '' : 'Loading…')}</p>
      {error && (
        <p role="alert" className="error">
          {error}
        </p>
      )}
      {page && connections.length === 0 && <p>Nothing is connected yet.</p>}
      {connections.map((connection) => (
        <ErrorBoundary key={connection.id} fallback={<p role="alert" className="error">{`“${connection.name}” cannot be shown.`}</p>}>
          <ConnectionCard connection={connection} kinds={kinds} onChange={onChange} />
        </ErrorBoundary>
      ))}
      {readMore && (
        <button type="button" onClick={readMore}>
          Show more
        </button>
      )}
    </>
  );
}
