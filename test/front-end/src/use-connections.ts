import { useEffect, useState } from 'react';
import { execute } from './gateway.ts';
import type { ConnectionsQuery } from './gql/graphql.ts';
import { CONNECTIONS } from './operations.ts';

/** The connections of the user, read again when somebody asks. Of several readings, the latest counts. */
export function useConnections() {
  const [asked, setAsked] = useState({ first: 20 });
  const [answer, setAnswer] = useState<{ page?: ConnectionsQuery; error?: string }>({});
  useEffect(() => {
    let isLatest = true;
    execute(CONNECTIONS, asked).then(
      (page) => isLatest && setAnswer({ page }),
      ({ message }: Error) => isLatest && setAnswer(({ page }) => ({ page, error: message })),
    );
    return () => {
      isLatest = false;
    };
  }, [asked]);
  return {
    ...answer,
    readAgain: () => setAsked(({ first }) => ({ first })),
    // A page of the gateway has at most 100.
    readMore:
      asked.first < 100 && answer.page?.connections?.pageInfo.hasNextPage
        ? () => setAsked(({ first }) => ({ first: first + 20 }))
        : undefined,
  };
}
