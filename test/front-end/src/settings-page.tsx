import { useEffect, useState } from 'react';
import { ConnectionCard } from './connection-card.tsx';
import { execute } from './gateway.ts';
import type { ConnectionsQuery } from './gql/graphql.ts';
import { CONNECTIONS, KINDS, type Kind } from './operations.ts';

/** The services that the signed-in user has connected. */
export function SettingsPage() {
  const [kinds, setKinds] = useState<Kind[]>([]);
  const [page, setPage] = useState<ConnectionsQuery>();
  const [error, setError] = useState<string>();
  const [message, setMessage] = useState('');
  const [first, setFirst] = useState(20);
  const [reading, setReading] = useState(0);

  useEffect(() => {
    execute(KINDS, {}).then(
      ({ credentialKinds }) => setKinds(credentialKinds),
      (error: Error) => setError(error.message),
    );
  }, []);

  useEffect(() => {
    let isCurrent = true;
    const show = (answer?: ConnectionsQuery, error?: Error) => {
      if (!isCurrent) return;
      if (answer) setPage(answer);
      setError(error?.message);
    };
    execute(CONNECTIONS, { first }).then(show, (error: Error) => show(undefined, error));
    return () => {
      isCurrent = false;
    };
  }, [first, reading]);

  function onChange(message = '') {
    setMessage(message);
    setReading((count) => count + 1);
  }
  const { nodes = [], pageInfo } = page?.connections ?? {};
  return (
    <>
      <header>
        <h1>Connected services</h1>
        <p>{page?.viewer.endUser?.displayName}</p>
      </header>
      <p role="status">{message || (page ? '' : 'Loading…')}</p>
      {error && (
        <p role="alert" className="error">
          {error}
        </p>
      )}
      {page && nodes.length === 0 && <p>Nothing is connected yet.</p>}
      {nodes.map((connection) => (
        <ConnectionCard key={connection.id} connection={connection} kinds={kinds} onChange={onChange} />
      ))}
      {pageInfo?.hasNextPage && first < 100 && (
        <button type="button" onClick={() => setFirst(first + 20)}>
          Show more
        </button>
      )}
    </>
  );
}
